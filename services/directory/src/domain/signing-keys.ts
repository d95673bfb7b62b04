/**
 * Which stored key signs an access token, and when keys are made and forgotten. Every process decides alike from
 * the keys in the database, so that nobody has to be told:
 *
 *   made ── 2 min: everybody knows it ── signs ── the next one signs ── longest token expires ── forgotten
 */

/** A key as it is kept. */
export type SigningKeyRecord = { readonly name: string; readonly createTimeMs: number };

export type SigningKeyPolicy = {
  /** The age at which the newest key gets a successor; `Infinity` for never. */
  readonly rotateAfterMs: number;
  /** How long a token is valid. */
  readonly accessMs: number;
  /** Keys made before this are not believed, and are forgotten at once. */
  readonly distrustBeforeMs: number;
};

export type SigningKeyPlan = {
  /** The name of a key to make, if one is due. */
  readonly create: string | undefined;
  /** The names of keys to forget. */
  readonly forget: readonly string[];
};

/** How often each process reads the keys again. */
export const RELOAD_MS = 60_000;
/** A key is kept so long before it signs: the processes have read it by then, and gateways may ask for it. */
export const ACTIVATION_MS = 2 * RELOAD_MS;
/** Between the clocks of processes, and what a verifier allows after a token's end. */
const CLOCK_SLACK_MS = 60_000;

/** What the names of all signing keys begin with; the first key has it alone, later ones with `-2`, `-3` … */
export const SIGNING_KEY_PREFIX = "access-token-signing";

/** Oldest first. */
export function inOrder<Key extends SigningKeyRecord>(keys: readonly Key[]): readonly Key[] {
  return [...keys].sort((a, b) => generationOf(a) - generationOf(b));
}

/** The key that signs what is issued at a time: the newest that signs by then. `keys` are in order. */
export function signingKeyAt<Key extends SigningKeyRecord>(
  keys: readonly Key[],
  issueTimeMs: number,
): Key | undefined {
  // The oldest one has nobody before it, and signs from the beginning.
  return keys.findLast((key) => signsFromMs(key) <= issueTimeMs) ?? keys[0];
}

/** What is to be done about the keys now. `keys` are in order. */
export function planSigningKeys(
  keys: readonly SigningKeyRecord[],
  nowMs: number,
  policy: SigningKeyPolicy,
): SigningKeyPlan {
  const { rotateAfterMs, accessMs, distrustBeforeMs } = policy;
  const trusted = keys.filter((key) => key.createTimeMs >= distrustBeforeMs);
  const newest = trusted.at(-1);
  const due = newest === undefined || nowMs - newest.createTimeMs >= rotateAfterMs;
  const replaced = trusted.filter((_, index) => {
    const successor = trusted[index + 1];
    if (successor === undefined) return false;
    // A process that has not read the successor yet still signs with this one.
    const lastSignedMs = signsFromMs(successor) + RELOAD_MS;
    return nowMs >= lastSignedMs + accessMs + CLOCK_SLACK_MS;
  });
  const distrusted = keys.filter((key) => key.createTimeMs < distrustBeforeMs);
  return {
    create: due ? nameOf(generationOf(keys.at(-1)) + 1) : undefined,
    forget: [...distrusted, ...replaced].map((key) => key.name),
  };
}

const signsFromMs = (key: SigningKeyRecord) => key.createTimeMs + ACTIVATION_MS;

function nameOf(generation: number): string {
  return generation === 1 ? SIGNING_KEY_PREFIX : `${SIGNING_KEY_PREFIX}-${generation}`;
}

function generationOf(key: SigningKeyRecord | undefined): number {
  if (key === undefined) return 0;
  const number = key.name.slice(SIGNING_KEY_PREFIX.length + 1);
  return number === "" ? 1 : Number(number);
}

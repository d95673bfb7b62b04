/** Who keeps their read positions to themselves, asked of the directory and remembered for a moment. */
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import type { Clock } from "@parley/platform/clock";
import type { Logger } from "@parley/platform/telemetry/logger";

export type ReceiptSettings = {
  /** Those of the people who hide their read positions. Everybody, while the directory does not answer. */
  hiding(userIds: readonly string[]): Promise<ReadonlySet<string>>;
};

/** How long an answer is used: a person who changes the setting sees it work within this time. */
const LIFETIME_MS = 30_000;
/** People remembered; some 10 MiB. */
const PEOPLE_MAX = 50_000;
/** What the directory takes in one question. */
const PEOPLE_PER_CALL_MAX = 1000;

type Known = { readonly hides: boolean; readonly expireTimeMs: number };

export function createReceiptSettings(dependencies: {
  readonly directory: Transport;
  readonly clock: Clock;
  readonly log: Pick<Logger, "warn">;
}): ReceiptSettings {
  const client = createClient(DirectoryService, dependencies.directory);
  const { clock, log } = dependencies;
  const known = new Map<string, Known>();

  const remember = (userId: string, hides: boolean) => {
    known.delete(userId);
    known.set(userId, { hides, expireTimeMs: clock.nowMs() + LIFETIME_MS });
    if (known.size > PEOPLE_MAX) known.delete(known.keys().next().value as string);
  };

  return {
    async hiding(userIds) {
      const nowMs = clock.nowMs();
      const hiding = new Set<string>();
      const unknown: string[] = [];
      for (const userId of userIds) {
        const found = known.get(userId);
        // The second half holds after a clock was set back.
        const fresh =
          found !== undefined &&
          found.expireTimeMs > nowMs &&
          found.expireTimeMs <= nowMs + LIFETIME_MS;
        if (!fresh) unknown.push(userId);
        else if (found.hides) hiding.add(userId);
      }
      for (let start = 0; start < unknown.length; start += PEOPLE_PER_CALL_MAX) {
        const asked = unknown.slice(start, start + PEOPLE_PER_CALL_MAX);
        const answer = await ask(client, asked, log);
        for (const userId of asked) {
          const hides = answer === undefined || answer.has(userId);
          if (answer !== undefined) remember(userId, hides);
          if (hides) hiding.add(userId);
        }
      }
      return hiding;
    },
  };
}

/** Undefined when the directory does not answer: what a person may want hidden is then not shown. */
async function ask(
  client: Client<typeof DirectoryService>,
  userIds: string[],
  log: Pick<Logger, "warn">,
): Promise<ReadonlySet<string> | undefined> {
  try {
    const { hidingUserIds } = await client.getReceiptSettings({ userIds });
    return new Set(hidingUserIds);
  } catch (error) {
    log.warn({ error }, "The directory did not say who hides read receipts; all are hidden.");
    return undefined;
  }
}

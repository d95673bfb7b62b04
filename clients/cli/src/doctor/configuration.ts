/** Are the PARLEY_ variables of the environment ones that the server knows, with values that it takes? */
import { ConfigError } from "@parley/platform/config";
import { type Finding, ok, problem, warning } from "./finding.ts";

type Env = Readonly<Record<string, string | undefined>>;

const PREFIX = "PARLEY_";
/** Each wrong variable is taken out before the next try; there are not more variables than this. */
const TRIES_MAX = 200;
/** A name this near to a known one is a slip of the finger. */
const DISTANCE_MAX = 3;

export async function checkConfiguration(env: Env): Promise<readonly Finding[]> {
  const { toStandaloneConfig } = await import("@parley/standalone/config");
  const { findTlsProblem } = await import("@parley/standalone/preflight");
  const findings = judge(env, toStandaloneConfig);
  if (findings.some(({ level }) => level === "problem")) return findings;
  const tls = await findTlsProblem(env);
  if (tls === undefined) return findings;
  const remedy = "docs/operating.md says how to set up TLS.";
  return [...findings.filter(({ level }) => level !== "ok"), problem(tls.message, remedy)];
}

/** Asks the server's own reading of its configuration what is wrong, one variable at a time. */
export function judge(env: Env, read: (env: Env) => unknown): readonly Finding[] {
  const findings: Finding[] = [];
  const known = new Set<string>();
  const rest = { ...env };
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    try {
      read(recordingReads(rest, known));
      break;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const was =
        rest[error.variable] === undefined ? "is missing" : "has a value that cannot be used";
      findings.push(problem(`${error.variable} ${was}.`, `It expects ${error.expected}.`));
      if (rest[error.variable] === undefined) break;
      delete rest[error.variable];
    }
  }
  const set = Object.keys(env).filter((name) => name.startsWith(PREFIX));
  for (const name of set.filter((candidate) => !known.has(candidate))) {
    const near = nearest(name, known);
    const remedy = near ? `Is ${near} meant?` : "docs/operating.md lists those that there are.";
    findings.push(warning(`${name} is no variable that the server knows.`, remedy));
  }
  if (findings.length > 0) return findings;
  return [
    ok(set.length === 0 ? "Configuration: all defaults" : `Configuration: ${set.join(", ")}`),
  ];
}

/** Hands the variables out and notes their names: the server knows what it asks for. */
function recordingReads(env: Env, known: Set<string>): Env {
  return new Proxy(env, {
    get(target, name) {
      if (typeof name === "string" && name.startsWith(PREFIX)) known.add(name);
      return Reflect.get(target, name);
    },
  });
}

function nearest(name: string, known: ReadonlySet<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = DISTANCE_MAX + 1;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

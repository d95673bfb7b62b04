/** Idle sessions: what each costs in memory, and that many hold. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Person, signUpMany } from "../../harness/people.ts";
import type { IdleResult } from "../load-plan.ts";
import { startLoad } from "../processes.ts";
import { fact, invariant, type Row } from "../report.ts";
import { residentBytes } from "../statistics.ts";
import { type BenchContext, serverDirectory, startBenchServerOn, target } from "./context.ts";

const SESSIONS = 5_000;
const QUICK_SESSIONS = 200;
const SESSION_KIB_MAX = 20;
const HOLD_MS = 35_000; // longer than the 30 s after which a silent session counts as offline

export async function benchIdle(context: BenchContext): Promise<Row[]> {
  const count = context.quick ? QUICK_SESSIONS : SESSIONS;
  const directory = serverDirectory(context, "idle");
  const people = await makePeople(directory, count);
  // A server that has done nothing else: whoever signs 5,000 people up has a larger heap than 5,000 sessions need.
  await using server = await startBenchServerOn(directory);
  await using load = startLoad();
  // One session first, so that what is loaded on the first use is not counted as a session's memory.
  await load.run(
    { kind: "idle", port: server.port, tokens: people.slice(0, 1).map(token) },
    server.pid,
  );
  await sleep(context.quick ? 200 : 10_000);
  const before = residentBytes(server.pid);
  const { result } = await load.run<IdleResult>(
    { kind: "idle", port: server.port, tokens: people.slice(1).map(token) },
    server.pid,
  );
  await sleep(context.quick ? 1_000 : HOLD_MS);
  const perSessionKib = (residentBytes(server.pid) - before) / (count - 1) / 1024;
  const held = await load.run<IdleResult>({ kind: "release" }, server.pid);
  const section = `${count} idle sessions`;
  return [
    fact(section, "opened", String(result.open)),
    invariant(section, "closed by the server", held.result.closed),
    target(context, {
      section,
      figure: "memory per session",
      value: `${perSessionKib.toFixed(1)} KiB`,
      target: `≤ ${SESSION_KIB_MAX} KiB`,
      ok: perSessionKib <= SESSION_KIB_MAX,
    }),
  ];
}

async function makePeople(directory: string, count: number): Promise<Person[]> {
  await using server = await startBenchServerOn(directory);
  return await signUpMany(server.port, "idle", count);
}

function token(person: Person): string {
  return person.accessToken;
}

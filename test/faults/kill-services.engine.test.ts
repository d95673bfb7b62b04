// Invariants 1 to 4 when processes die. Goal: whichever process is killed, at whatever moment, no acknowledged message is
// lost, doubled or moved, every reader is told the same, and chatting goes on by itself. Method: people chat without pause
// over two gateways; in each round one process is killed with -9 under load, the others have to go on, and it comes back.
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Split, startSplit } from "../harness/split.ts";
import { startCrashLoad, WINDOW } from "../scenarios/crash-load.ts";

const ROUNDS = 5;
const ACKED_PER_ROUND_MIN = 2_000;
const KILL_DELAY_MS_MAX = 400;
// Engines answer later than a disk; more people at once keep as many messages on their way.
const PAIRS = 30;

describe("kill -9 of one process under load", () => {
  for (const service of ["message", "fanout", "presence", "directory", "gateway"]) {
    it(`${service}: ${ROUNDS} rounds`, { timeout: 600_000 }, async (t) => {
      await using split = await startSplit();
      await using load = await startCrashLoad(split, { pairs: PAIRS });
      const { ledger } = load;
      let recoveryMsMax = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        await ledger.more(ACKED_PER_ROUND_MIN);
        await sleep(Math.random() * KILL_DELAY_MS_MAX);
        recoveryMsMax = Math.max(recoveryMsMax, await killOne(split, service, round, load));
      }
      await load.verify();
      t.diagnostic(
        `${service}: ${ROUNDS} rounds, ${ledger.acked} messages acknowledged, lost 0, doubled 0, out of order 0; ` +
          `every conversation went on after ${(recoveryMsMax / 1000).toFixed(1)} s at most`,
      );
    });
  }
});

/** How long it took until every conversation had messages that were sent after the kill. */
async function killOne(
  split: Split,
  service: string,
  round: number,
  load: Awaited<ReturnType<typeof startCrashLoad>>,
): Promise<number> {
  const instances = split.processes.filter((part) => part.service === service);
  const victim = instances[round % instances.length];
  if (victim === undefined) throw new Error(`there is no ${service}`);
  const startMs = performance.now();
  await victim.kill();
  // Where there is another instance it goes on without the dead one; whoever is alone has to come back.
  const going = instances.length > 1 && service !== "gateway";
  if (!going) await victim.restart();
  await load.ledger.moreEverywhere(2 * WINDOW);
  const recoveryMs = performance.now() - startMs;
  if (going) await victim.restart();
  await load.online();
  return recoveryMs;
}

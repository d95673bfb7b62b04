/**
 * The state is a function of the log: whatever happens to the instances that apply it, the rows are those of
 * a run in which nothing happens. Each run prints its seed; a failure also prints fast-check's path. Both, given
 * to `fc.assert` in place of the seed of now, show the same failure again.
 */
import { describe, it } from "node:test";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import fc from "fast-check";
import { historyArbitrary } from "./testing/histories.ts";
import { runChaos, runStraight } from "./testing/history-run.ts";
import { createLmdbWorld, createModelWorld } from "./testing/history-world.ts";

const HISTORIES = 1500;
const LMDB_HISTORIES = 60;

describe("histories", () => {
  it(`end the same way on a store that can die between any two writes, ${HISTORIES} times`, async (t) => {
    await using telemetry = silentTelemetry();
    const seed = Date.now() | 0;
    t.diagnostic(`seed ${seed}`);
    await fc.assert(
      fc.asyncProperty(historyArbitrary, async (history) => {
        const expected = await runStraight(history, telemetry);
        await using world = createModelWorld();
        await runChaos(history, world, expected, { telemetry });
      }),
      { numRuns: HISTORIES, seed },
    );
  });

  it(`end the same way on LMDB, ${LMDB_HISTORIES} times`, async (t) => {
    await using telemetry = silentTelemetry();
    const seed = Date.now() | 0;
    t.diagnostic(`seed ${seed}`);
    await fc.assert(
      fc.asyncProperty(historyArbitrary, async (history) => {
        const expected = await runStraight(history, telemetry);
        await using world = await createLmdbWorld();
        await runChaos(history, world, expected, { telemetry });
      }),
      { numRuns: LMDB_HISTORIES, seed },
    );
  });
});

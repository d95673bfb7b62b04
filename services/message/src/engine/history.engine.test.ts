/**
 * The histories of `history.property.test.ts` on Cassandra: instances die, or stand still and go on, before any
 * request that writes. Prints its seed, as those do.
 */
import { describe, it } from "node:test";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import fc from "fast-check";
import { createCassandraWorld } from "../testing/cassandra-history-world.ts";
import { createCassandraMedium } from "../testing/cassandra-medium.ts";
import { historyArbitrary } from "../testing/histories.ts";
import { runChaos, runStraight } from "../testing/history-run.ts";

const HISTORIES = 40;
/** As in the model, so that short histories cross the border of a bucket. */
const ROWS_PER_BUCKET = 3;

describe("histories on Cassandra", () => {
  it(`end the same way on a store that can die between any two writes, ${HISTORIES} times`, async (t) => {
    await using telemetry = silentTelemetry();
    await using medium = await createCassandraMedium({ rowsPerBucket: ROWS_PER_BUCKET });
    const seed = Date.now() | 0;
    t.diagnostic(`seed ${seed}`);
    await fc.assert(
      fc.asyncProperty(historyArbitrary, async (history) => {
        const expected = await runStraight(history, telemetry);
        await using world = createCassandraWorld(medium);
        await runChaos(history, world, expected, { telemetry });
      }),
      // What fails is shown as it is: making it smaller takes many histories.
      { numRuns: HISTORIES, seed, endOnFailure: true },
    );
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { FanoutBatch } from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import {
  DispatchBatchesRequestSchema,
  type DispatchBatchesResponse,
} from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { createDeferred } from "@parley/platform/async/deferred";
import { reasonOf, unavailable } from "@parley/platform/errors";
import { createTestConversation } from "../testing/test-entries.ts";
import { createTestService, dispatchDirect } from "../testing/test-service.ts";
import { createDispatchBatches } from "./dispatch-batches.ts";

const pairOf = () => createTestConversation({ direct: ["ann", "bob"] });

/** The handler alone, on a dispatcher in the test's hands. */
function createStream(dispatch: (batch: FanoutBatch) => Promise<void>) {
  const draining = new AbortController();
  const handler = createDispatchBatches({
    dispatcher: { dispatch },
    drainSignal: draining.signal,
  });
  const answered: bigint[] = [];
  const run = async (...items: readonly (FanoutBatch | undefined)[]) => {
    const request = create(DispatchBatchesRequestSchema, {
      items: items.map((batch, index) => ({
        correlationId: BigInt(index + 1),
        ...(batch === undefined ? {} : { batch }),
      })),
    });
    const requests = (async function* () {
      yield request;
    })();
    const responses = handler(requests, {} as never) as AsyncIterable<DispatchBatchesResponse>;
    for await (const { correlationIds } of responses) answered.push(...correlationIds);
  };
  return { run, answered, draining };
}

test("items are answered as they are done, in any order", async () => {
  const first = createDeferred<void>();
  const pairs = [pairOf(), pairOf()];
  const { run, answered } = createStream(({ conversationId }) =>
    conversationId === pairs[0]?.conversationId ? first.promise : Promise.resolve(),
  );
  const running = run(...pairs.map((pair) => pair.batch(pair.message("ann"))));
  while (answered.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(answered, [2n]);
  first.resolve();
  await running;
  assert.deepEqual(answered, [2n, 1n]);
});

test("what cannot be done ends the stream without an answer", async () => {
  const pair = pairOf();
  const { run, answered } = createStream(() => Promise.reject(unavailable("STOPPING", "Stops.")));
  await assert.rejects(
    run(pair.batch(pair.message("ann"))),
    (error) => reasonOf(error) === "STOPPING",
  );
  assert.deepEqual(answered, []);
});

test("an item without a batch is refused", async () => {
  const { run } = createStream(() => Promise.resolve());
  await assert.rejects(run(undefined), (error) => reasonOf(error) === "INVALID_FIELD");
});

test("entries that come again are answered again, and change nothing", async () => {
  await using parts = await createTestService();
  parts.registry.online("west", "ann", "bob");
  const pair = pairOf();
  const batches = [pair.batch(pair.message("ann")), pair.batch(pair.message("bob"))];
  const [first] = batches;
  assert.ok(first !== undefined);
  assert.deepEqual((await dispatchDirect(parts, ...batches)).toSorted(), [1n, 2n]);
  assert.deepEqual(await dispatchDirect(parts, first), [1n]);
  const { heads } = await parts.fanout.listInboxHeads({ userId: "ann" });
  assert.equal(heads[0]?.lastSeq, 2n);
  assert.deepEqual(parts.gateway("west").seqsOf("bob"), [1, 2, 1]);
});

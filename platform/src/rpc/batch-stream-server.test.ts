import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createDeferred, type Deferred } from "../async/deferred.ts";
import { createAsyncQueue } from "../async/queue.ts";
import { type BatchOutcome, serveBatchStream } from "./batch-stream.ts";

type Batch = readonly (readonly [bigint, string])[];

function serve(
  requests: AsyncIterable<Batch>,
  handleItem: (item: string) => string | Promise<string>,
  options: { itemsInFlightMax?: number; itemsPerBatchMax?: number; drainSignal?: AbortSignal } = {},
) {
  return serveBatchStream<string, string, Batch, readonly BatchOutcome<string>[]>(requests, {
    unwrap: (batch) => batch.map(([correlationId, item]) => ({ correlationId, item })),
    wrap: (outcomes) => outcomes,
    handleItem,
    ...options,
  });
}

const idsOf = (outcomes: readonly BatchOutcome<string>[]) =>
  outcomes.map(({ correlationId }) => Number(correlationId));

async function* once(...batches: Batch[]) {
  yield* batches;
}

test("items that finish in one turn are answered in one response", async () => {
  const batch: Batch = [1n, 2n, 3n].map((id) => [id, `item ${id}`]);
  const responses = [];
  for await (const response of serve(once(batch), (item) => item.toUpperCase()))
    responses.push(response);
  assert.equal(responses.length, 1);
  assert.deepEqual(responses[0]?.at(2), { correlationId: 3n, ok: true, result: "ITEM 3" });
});

test("answers come in order of completion, and the stream ends after the last", async () => {
  const work = new Map<string, Deferred<string>>();
  const handle = (item: string) => {
    const deferred = createDeferred<string>();
    work.set(item, deferred);
    return deferred.promise;
  };
  const responses = serve(
    once([
      [1n, "slow"],
      [2n, "quick"],
    ]),
    handle,
  );
  const first = responses.next();
  await new Promise((resolve) => setImmediate(resolve));
  work.get("quick")?.resolve("done");
  assert.deepEqual(idsOf((await first).value ?? []), [2]);
  work.get("slow")?.resolve("done");
  assert.deepEqual(idsOf((await responses.next()).value ?? []), [1]);
  assert.equal((await responses.next()).done, true);
});

test("what an item's handler throws or rejects with is that item's outcome", async () => {
  const handle = (item: string) => {
    if (item === "throws") throw new Error("thrown");
    return item === "rejects" ? Promise.reject(new Error("rejected")) : item;
  };
  const batch: Batch = [
    [1n, "throws"],
    [2n, "rejects"],
    [3n, "fine"],
  ];
  const outcomes = [];
  for await (const response of serve(once(batch), handle)) outcomes.push(...response);
  const ok = new Map(outcomes.map((outcome) => [Number(outcome.correlationId), outcome.ok]));
  assert.deepEqual([...ok].sort(), [
    [1, false],
    [2, false],
    [3, true],
  ]);
});

test("no batch is read while too many items are unanswered", async () => {
  const requests = createAsyncQueue<Batch>({ max: 100 });
  const work: Deferred<string>[] = [];
  const handle = () => {
    const deferred = createDeferred<string>();
    work.push(deferred);
    return deferred.promise;
  };
  const responses = serve(requests, handle, { itemsInFlightMax: 4 });
  const first = responses.next();
  for (let id = 0n; id < 10n; id += 2n)
    requests.push([
      [id, "a"],
      [id + 1n, "b"],
    ]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(work.length, 4);
  work[0]?.resolve("done");
  assert.deepEqual(idsOf((await first).value ?? []), [0]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(work.length, 6);
  await responses.return(undefined);
});

test("a response holds no more outcomes than it may", async () => {
  const batch: Batch = Array.from({ length: 10 }, (_, id) => [BigInt(id), "x"]);
  const sizes = [];
  for await (const response of serve(once(batch), (item) => item, { itemsPerBatchMax: 4 })) {
    sizes.push(response.length);
  }
  assert.deepEqual(sizes, [4, 4, 2]);
});

test("draining answers what was read and ends, although the caller goes on", async () => {
  const requests = createAsyncQueue<Batch>({ max: 100 });
  const drain = new AbortController();
  const work = createDeferred<string>();
  const responses = serve(requests, () => work.promise, { drainSignal: drain.signal });
  const first = responses.next();
  requests.push([[1n, "read"]]);
  await new Promise((resolve) => setImmediate(resolve));
  drain.abort();
  work.resolve("done");
  assert.deepEqual(idsOf((await first).value ?? []), [1]);
  assert.equal((await responses.next()).done, true);
  assert.equal(requests.closed, true);
});

test("requests that break end the stream with their error, after the answers", async () => {
  async function* broken(): AsyncGenerator<Batch> {
    yield [[1n, "x"]];
    throw new Error("reset");
  }
  const responses = serve(broken(), (item) => item);
  assert.deepEqual(idsOf((await responses.next()).value ?? []), [1]);
  await assert.rejects(responses.next(), /reset/);
});

test("a reader that leaves ends the reading of requests", async () => {
  const requests = createAsyncQueue<Batch>({ max: 100 });
  const responses = serve(requests, (item) => item);
  requests.push([[1n, "x"]]);
  await responses.next();
  await responses.return(undefined);
  requests.push([[2n, "x"]]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(requests.closed, true);
});

test("every item is answered exactly once, whatever the batches and the order of completion", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.constantFrom("now", "later", "throw"), { minLength: 1, maxLength: 6 }), {
        maxLength: 20,
      }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 5 }),
      async (shape, itemsInFlightMax, itemsPerBatchMax) => {
        let id = 0n;
        const batches: Batch[] = shape.map((items) => items.map((item) => [id++, item] as const));
        const handle = (item: string) => {
          if (item === "throw") throw new Error("thrown");
          if (item === "now") return item;
          return new Promise<string>((resolve) => setImmediate(() => resolve(item)));
        };
        const answered: number[] = [];
        const limits = { itemsInFlightMax, itemsPerBatchMax };
        for await (const response of serve(once(...batches), handle, limits)) {
          assert.ok(response.length <= itemsPerBatchMax);
          answered.push(...idsOf(response));
        }
        const expected = Array.from({ length: Number(id) }, (_, index) => index);
        assert.deepEqual(
          answered.toSorted((a, b) => a - b),
          expected,
        );
      },
    ),
    { numRuns: 100 },
  );
});

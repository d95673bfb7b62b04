import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, createClient } from "@connectrpc/connect";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { type AsyncQueue, createAsyncQueue } from "../async/queue.ts";
import { failedPrecondition, reasonOf } from "../errors.ts";
import { silentTelemetry } from "../telemetry/telemetry.ts";
import { createBatchStreamClient } from "./batch-stream-client.ts";
import { createInProcessTransport } from "./in-process-host.ts";
import { standardInterceptors } from "./interceptors/standard.ts";
import { createConverseClient, createEchoRoutes } from "./testing/echo-routes.ts";
import { refusalOf } from "./testing/refusal-of.ts";

type Batch = readonly { readonly correlationId: bigint; readonly item: number }[];
type Response = readonly (readonly [bigint, number | Error])[];

/** The server's end of one stream, in the hands of the test. */
type Served = {
  readonly batches: AsyncIterator<Batch>;
  readonly responses: AsyncQueue<Response>;
  readonly signal: AbortSignal;
};

/** A client whose streams the test serves by hand, in order of opening. */
function createRig(
  options: { itemsInFlightMax?: number; bytesInFlightMax?: number; itemTimeoutMs?: number } = {},
) {
  const opened = createAsyncQueue<Served>({ max: 100 });
  const client = createBatchStreamClient<number, number, Batch, Response>({
    name: "rig",
    open(batches, signal) {
      const responses = createAsyncQueue<Response>({ max: 1000 });
      signal.addEventListener("abort", () => responses.clear(), { once: true });
      opened.push({ batches: batches[Symbol.asyncIterator](), responses, signal });
      return responses;
    },
    wrap: (items) => items,
    *unwrap(response) {
      for (const [correlationId, outcome] of response) {
        if (outcome instanceof Error) yield { correlationId, ok: false, error: outcome };
        else yield { correlationId, ok: true, result: outcome };
      }
    },
    sizeOf: (item) => item,
    ...options,
  });
  const streams = opened[Symbol.asyncIterator]();
  const nextStream = async () => (await streams.next()).value as Served;
  return { client, nextStream };
}

const nextBatch = async (served: Served) => (await served.batches.next()).value as Batch;

test("calls of one turn go as one batch, and answers find their calls in any order", async () => {
  const { client, nextStream } = createRig();
  await using _client = client;
  const calls = [client.call(1), client.call(2), client.call(3)];
  const served = await nextStream();
  const batch = await nextBatch(served);
  assert.deepEqual(
    batch.map(({ item }) => item),
    [1, 2, 3],
  );
  served.responses.push(
    batch.toReversed().map(({ correlationId, item }) => [correlationId, item * 10]),
  );
  assert.deepEqual(await Promise.all(calls), [10, 20, 30]);
  assert.equal(client.inFlight, 0);
});

test("the second turn's calls are the second batch of the same stream", async () => {
  const { client, nextStream } = createRig();
  await using _client = client;
  const first = client.call(1);
  const served = await nextStream();
  assert.equal((await nextBatch(served)).length, 1);
  const second = client.call(2);
  const batch = await nextBatch(served);
  assert.deepEqual(
    batch.map(({ correlationId, item }) => [correlationId, item]),
    [[2n, 2]],
  );
  served.responses.push([
    [1n, 0],
    [2n, 0],
  ]);
  await Promise.all([first, second]);
});

test("more items than a batch may hold go as several, in order", async () => {
  const { client, nextStream } = createRig({ itemsInFlightMax: 600 });
  const calls = Array.from({ length: 600 }, (_, item) => client.call(item));
  const settled = Promise.allSettled(calls);
  const served = await nextStream();
  const batches = [await nextBatch(served), await nextBatch(served), await nextBatch(served)];
  assert.deepEqual(
    batches.map((batch) => batch.length),
    [256, 256, 88],
  );
  assert.deepEqual(
    batches.flat().map(({ item }) => item),
    Array.from({ length: 600 }, (_, item) => item),
  );
  await client[Symbol.asyncDispose]();
  await settled;
});

test("a refused item rejects its own call only", async () => {
  const { client, nextStream } = createRig();
  await using _client = client;
  const refused = refusalOf(client.call(1));
  const served = client.call(2);
  const stream = await nextStream();
  await nextBatch(stream);
  stream.responses.push([
    [1n, failedPrecondition("NO", "No.")],
    [2n, 5],
  ]);
  assert.equal(reasonOf(await refused), "NO");
  assert.equal(await served, 5);
});

test("too many unanswered items, or bytes of them, are refused without being sent", async () => {
  const { client, nextStream } = createRig({ itemsInFlightMax: 3, bytesInFlightMax: 100 });
  await using _client = client;
  const calls = [client.call(60), client.call(40)];
  const byBytes = await refusalOf(client.call(1));
  assert.equal(byBytes.code, Code.ResourceExhausted);
  assert.equal(reasonOf(byBytes), "TOO_MANY_IN_FLIGHT");
  calls.push(client.call(0));
  assert.equal((await refusalOf(client.call(0))).code, Code.ResourceExhausted);
  const served = await nextStream();
  assert.equal((await nextBatch(served)).length, 3);
  served.responses.push([[1n, 1]]);
  await calls[0];
  const again = client.call(60);
  served.responses.push([2n, 3n, 4n].map((id) => [id, 1] as const));
  await Promise.all([...calls, again]);
});

test("a lost stream rejects what is in flight, and the next call opens another", async () => {
  const { client, nextStream } = createRig();
  await using _client = client;
  const lost = [refusalOf(client.call(1)), refusalOf(client.call(2))];
  const first = await nextStream();
  await nextBatch(first);
  first.responses.close(new Error("connection reset"));
  for (const error of await Promise.all(lost)) {
    assert.equal(error.code, Code.Unavailable);
    assert.equal(reasonOf(error), "STREAM_LOST");
  }
  const call = client.call(3);
  const second = await nextStream();
  assert.deepEqual(
    (await nextBatch(second)).map(({ item }) => item),
    [3],
  );
  second.responses.push([[3n, 30]]);
  assert.equal(await call, 30);
});

test("a stream that the server ends is as lost as one that breaks", async () => {
  const { client, nextStream } = createRig();
  await using _client = client;
  const lost = refusalOf(client.call(1));
  const served = await nextStream();
  await nextBatch(served);
  served.responses.close();
  assert.equal((await lost).code, Code.Unavailable);
});

test("an item without an answer ends with its deadline, and its late answer is ignored", async () => {
  const { client, nextStream } = createRig({ itemTimeoutMs: 20 });
  await using _client = client;
  const late = refusalOf(client.call(1));
  const served = await nextStream();
  await nextBatch(served);
  assert.equal((await late).code, Code.DeadlineExceeded);
  assert.equal(client.inFlight, 0);
  const call = client.call(2);
  served.responses.push([
    [1n, 1],
    [2n, 2],
  ]);
  assert.equal(await call, 2);
});

test("disposing rejects what is in flight, ends the stream and refuses later calls", async () => {
  const { client, nextStream } = createRig();
  const lost = refusalOf(client.call(1));
  const served = await nextStream();
  await client[Symbol.asyncDispose]();
  assert.equal((await lost).code, Code.Unavailable);
  assert.equal(served.signal.aborted, true);
  assert.equal((await refusalOf(client.call(2))).code, Code.Unavailable);
});

test("a client that was never used is disposed of at once", async () => {
  const { client } = createRig();
  await client[Symbol.asyncDispose]();
});

test("over a host, ten thousand calls get each its own answer", async () => {
  const { routes } = createEchoRoutes();
  const interceptors = standardInterceptors(silentTelemetry());
  const asCaller = { kind: "internal", service: "test" } as const;
  const transport = createInProcessTransport({ routes, interceptors, asCaller });
  await using client = createConverseClient(createClient(EchoService, transport));
  let next = 0;
  const caller = async () => {
    while (next < 10_000) {
      const text = `text ${next++}`;
      assert.equal(await client.call(text), text);
    }
  };
  await Promise.all(Array.from({ length: 200 }, caller));
  assert.equal(reasonOf(await refusalOf(client.call("fail"))), "WRONG_MOMENT");
});

test("over a host, disposing ends the handler", async () => {
  const echo = createEchoRoutes();
  const interceptors = standardInterceptors(silentTelemetry());
  const transport = createInProcessTransport({ routes: echo.routes, interceptors });
  const client = createConverseClient(createClient(EchoService, transport));
  const never = refusalOf(client.call("never"));
  assert.equal(await client.call("answered"), "answered");
  await client[Symbol.asyncDispose]();
  assert.equal((await never).code, Code.Unavailable);
  await echo.aborted();
});

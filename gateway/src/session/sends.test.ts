import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  type AppendBatchesRequest,
  AppendBatchesRequestSchema,
  type AppendItem,
  AppendResultSchema,
  AppendService,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import {
  type SendMessageRequest,
  SendMessageRequestSchema,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import fc from "fast-check";
import { partialRoute } from "../testing/partial-route.ts";
import { RecordingOutlet } from "../testing/recording-outlet.ts";
import { testCaller } from "../testing/test-sessions.ts";
import { createSends } from "./sends.ts";
import { Session } from "./session.ts";

type Batches = AsyncIterable<AppendBatchesRequest>;

const payload = new Uint8Array([1]);

/** Sends to a message service that takes its batches as bytes, as one in another process does. */
function start(options: { answerMsMax?: number; serve?: (batches: Batches) => Batches } = {}) {
  const { serve = (batches: Batches) => batches, ...rest } = options;
  const items: AppendItem[] = [];
  const batchSizes: number[] = [];
  const route = partialRoute(AppendService, {
    async *appendBatches(batches) {
      for await (const batch of serve(batches)) {
        const bytes = toBinary(AppendBatchesRequestSchema, batch);
        const taken = fromBinary(AppendBatchesRequestSchema, bytes).items;
        items.push(...taken);
        batchSizes.push(taken.length);
        yield {
          results: taken.map(({ correlationId }) => {
            const accepted = { messageId: correlationId, seq: correlationId, acceptTimeMs: 1n };
            const outcome = { case: "accepted", value: accepted } as const;
            return create(AppendResultSchema, { correlationId, outcome });
          }),
        };
      }
    },
  });
  const { log, tracer } = silentTelemetry();
  const transport = createInProcessTransport({
    routes: [route],
    interceptors: [],
    asCaller: { kind: "internal", service: "gateway" },
  });
  const append = createClient(AppendService, transport);
  return { items, batchSizes, sends: createSends({ append, tracer, log, ...rest }) };
}

function newSession(): Session {
  return new Session({
    id: newUuid(),
    caller: testCaller(),
    outlet: new RecordingOutlet(),
    json: false,
    takesSubmit: false,
    nowMs: 0,
  });
}

function requestAt(clientTime?: SendMessageRequest["clientTime"]): SendMessageRequest {
  return create(SendMessageRequestSchema, {
    conversationId: newUuid(),
    clientMessageId: newUuid(),
    body: { case: "payload", value: payload },
    ...(clientTime === undefined ? {} : { clientTime }),
  });
}

const isBadTime = (error: unknown) =>
  error instanceof ConnectError &&
  error.code === Code.InvalidArgument &&
  error.message.includes("between the years 1 and 9999");

describe("sends", () => {
  it("take the times that JSON can show, and no others", async () => {
    const { sends, items } = start();
    await using _ = sends;
    const at = (seconds: bigint, nanos = 0) => create(TimestampSchema, { seconds, nanos });
    const [first, last] = [-62_135_596_800n, 253_402_300_799n];
    const taken: [time: Timestamp, ms: bigint][] = [
      [at(first), first * 1000n],
      [at(0n, 999_999_999), 999n],
      [at(last, 999_999_999), last * 1000n + 999n],
    ];
    for (const [time, ms] of taken) {
      await sends.send(newSession(), requestAt(time), payload);
      const { item } = items.at(-1) ?? {};
      assert.ok(item?.case === "message");
      assert.equal(item.value.clientTimeMs, ms);
      toJson(TimestampSchema, timestampFromMs(Number(item.value.clientTimeMs)));
    }
    const refused = [
      at(first - 1n),
      at(first, -1_000_000),
      at(last + 1n),
      at(last, 1_000_000_000),
      at(2n ** 63n - 1n),
      at(-(2n ** 63n), -(2 ** 31)),
    ];
    for (const time of refused) {
      await assert.rejects(sends.send(newSession(), requestAt(time), payload), isBadTime);
    }
    assert.equal(items.length, 3);
  });

  it("of one client never spoil those of others in the same batch", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        async (seconds, nanos) => {
          const { sends, batchSizes } = start();
          await using _ = sends;
          const bad = create(TimestampSchema, { seconds, nanos });
          const [before, spoiling, after] = await Promise.allSettled([
            sends.send(newSession(), requestAt(), payload),
            sends.send(newSession(), requestAt(bad), payload),
            sends.send(newSession(), requestAt(), payload),
          ]);
          assert.equal(before.status, "fulfilled");
          assert.equal(after.status, "fulfilled");
          assert.deepEqual(batchSizes, [spoiling.status === "fulfilled" ? 3 : 2]);
          if (spoiling.status === "rejected") assert.ok(isBadTime(spoiling.reason));
        },
      ),
      { numRuns: 200 },
    );
  });

  it("have an unknown outcome when no answer comes in time", async () => {
    async function* never(batches: Batches) {
      for await (const batch of batches) if (batch.items.length === 0) yield batch;
    }
    const { sends } = start({ answerMsMax: 20, serve: never });
    await using _ = sends;
    await assert.rejects(sends.send(newSession(), requestAt(), payload), (error) => {
      assert.ok(error instanceof ConnectError);
      assert.equal(error.code, Code.Unavailable);
      return reasonOf(error) === "OUTCOME_UNKNOWN";
    });
    assert.equal(sends.inFlight, 0);
  });

  it("are refused as unavailable when the stream breaks", async () => {
    // biome-ignore lint/correctness/useYield: the stream breaks before it gives anything
    async function* broken(batches: Batches): Batches {
      for await (const _ of batches) throw new Error("the service is gone");
    }
    const { sends } = start({ serve: broken });
    await using _ = sends;
    await assert.rejects(sends.send(newSession(), requestAt(), payload), (error) => {
      assert.ok(error instanceof ConnectError);
      return error.code === Code.Unavailable && reasonOf(error) === "STREAM_LOST";
    });
  });
});

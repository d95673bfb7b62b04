import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  ConversationKind,
  EncryptionMode,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  FanoutBatchSchema,
  FanoutEntrySchema,
} from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import { createDeferred, type Deferred } from "@parley/platform/async/deferred";
import { systemClock } from "@parley/platform/clock";
import { LogOverloadedError, type LogPosition } from "@parley/platform/log/port";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { createDispatchProgress } from "./dispatch-progress.ts";
import { createDispatcher, type Dispatch } from "./dispatcher.ts";
import { createMessageMetrics } from "./metrics.ts";
import { createTestFanout } from "./testing/message-world.ts";

type Append = (topic: string, partition: number, value: Uint8Array) => Promise<LogPosition>;

const unused: Append = () => Promise.reject(new Error("not used here"));

function open(options: { readonly append?: Append; readonly entriesMax?: number } = {}) {
  const telemetry = silentTelemetry();
  const fanout = createTestFanout(telemetry);
  const dispatcher = createDispatcher({
    log: { append: options.append ?? unused },
    fanout: fanout.transport,
    clock: systemClock,
    telemetry,
    metrics: createMessageMetrics(telemetry.metrics),
    entriesMax: options.entriesMax ?? 100,
    bytesMax: 1_000_000,
  });
  return { dispatcher, fanout };
}

function dispatch(kind: ConversationKind, offsets: readonly number[], id = "a"): Dispatch {
  const progress = createDispatchProgress();
  for (const offset of offsets) progress.open(offset);
  return {
    partition: 5,
    progress,
    state: {
      conversationId: id,
      kind,
      encryptionMode: EncryptionMode.SERVER_READABLE,
      directUserIds: kind === ConversationKind.DIRECT ? ["ann", "ben"] : [],
      lastSeq: 0,
      lastMessageId: 0n,
      lastProcessedOffset: 0,
      lastAppendTimeMs: 0,
      unreadOrdinal: 0,
      membershipVersion: 1,
      members: new Map(),
    },
    entries: offsets.map((offset) =>
      create(FanoutEntrySchema, { offset: BigInt(offset), event: new Uint8Array(10) }),
    ),
  };
}

const { DIRECT, GROUP } = ConversationKind;
const aLongTime = () => AbortSignal.timeout(10_000);

describe("the dispatcher", () => {
  it("brings direct conversations to fan-out, merged, and groups into the log's partition", async () => {
    const appended: { topic: string; partition: number; value: Uint8Array }[] = [];
    const { dispatcher, fanout } = open({
      append: async (topic, partition, value) => {
        appended.push({ topic, partition, value });
        return { partition, offset: 0, appendTimeMs: 0 };
      },
    });
    const direct = dispatch(DIRECT, [1, 2, 5]);
    const group = dispatch(GROUP, [3, 4], "g");
    dispatcher.dispatch(direct);
    dispatcher.dispatch(group);
    assert.equal(dispatcher.pending, 5);
    await dispatcher.idle(aLongTime());
    assert.equal(fanout.batches.length, 1);
    assert.equal(fanout.batches[0]?.entries.length, 3);
    assert.deepEqual(fanout.batches[0]?.directUserIds, ["ann", "ben"]);
    assert.deepEqual(
      appended.map(({ topic, partition }) => [topic, partition]),
      [["fanout", 5]],
    );
    const batch = fromBinary(FanoutBatchSchema, appended[0]?.value ?? new Uint8Array());
    assert.deepEqual(
      batch.entries.map(({ offset }) => offset),
      [3n, 4n],
    );
    assert.equal(direct.progress.size + group.progress.size, 0, "what has arrived is closed");
    await dispatcher[Symbol.asyncDispose]();
  });

  it("has no more room while too much waits, and has it again when that arrived", async () => {
    const { dispatcher, fanout } = open({ entriesMax: 3 });
    const gates: Deferred<void>[] = [];
    fanout.gate = () => {
      const gate = createDeferred<void>();
      gates.push(gate);
      return gate.promise;
    };
    dispatcher.dispatch(dispatch(DIRECT, [1, 2], "a"));
    await dispatcher.room();
    dispatcher.dispatch(dispatch(DIRECT, [3], "b"));
    let room = false;
    const waiting = dispatcher.room().then(() => {
      room = true;
    });
    while (gates.length < 2) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(room, false);
    gates[1]?.resolve();
    await waiting;
    gates[0]?.resolve();
    await dispatcher.idle(aLongTime());
    await dispatcher[Symbol.asyncDispose]();
  });

  it("lets everybody go who waits when it is disposed of, with nothing closed", async () => {
    const { dispatcher, fanout } = open({ entriesMax: 1 });
    fanout.gate = () => new Promise(() => undefined);
    const stuck = dispatch(DIRECT, [1]);
    dispatcher.dispatch(stuck);
    const waiting = Promise.all([dispatcher.room(), dispatcher.idle(aLongTime())]);
    await dispatcher[Symbol.asyncDispose]();
    await waiting;
    await dispatcher.room();
    assert.equal(stuck.progress.lowestOpen, 1);
  });

  it("keeps the order of a direct conversation that has much on its way", async () => {
    const { dispatcher, fanout } = open();
    const offsets = Array.from({ length: 65 }, (_, at) => at + 1);
    const large = dispatch(DIRECT, offsets);
    for (const entry of large.entries.slice(0, -1)) entry.event = new Uint8Array(600 * 1024);
    dispatcher.dispatch(large);
    await dispatcher.idle(aLongTime());
    const arrived = fanout.batches.flatMap(({ entries }) => entries.map(({ offset }) => offset));
    assert.deepEqual(arrived, offsets.map(BigInt));
    await dispatcher[Symbol.asyncDispose]();
  });

  it("keeps a group's order in the log when the log refuses an append and would take the next", async () => {
    const appended: bigint[] = [];
    let refused = false;
    const { dispatcher } = open({
      append: async (_topic, partition, value) => {
        const { entries } = fromBinary(FanoutBatchSchema, value);
        const isFirst = entries[0]?.offset === 1n;
        if (isFirst && !refused) {
          refused = true;
          throw new LogOverloadedError("no room for as much");
        }
        appended.push(...entries.map(({ offset }) => offset));
        return { partition, offset: 0, appendTimeMs: 0 };
      },
    });
    for (const offset of [1, 2, 3]) dispatcher.dispatch(dispatch(GROUP, [offset]));
    await dispatcher.idle(aLongTime());
    assert.deepEqual(appended, [1n, 2n, 3n]);
    await dispatcher[Symbol.asyncDispose]();
  });

  it("repeats what the log does not take", async () => {
    let attempts = 0;
    const { dispatcher } = open({
      append: async (_topic, partition) => {
        if (attempts++ < 2) throw new LogOverloadedError("full");
        return { partition, offset: 0, appendTimeMs: 0 };
      },
    });
    const group = dispatch(GROUP, [3, 4]);
    dispatcher.dispatch(group);
    await dispatcher.idle(aLongTime());
    assert.equal(attempts, 3);
    assert.equal(group.progress.size, 0);
    await dispatcher[Symbol.asyncDispose]();
  });

  it("waits for what is out no longer than it is told", async () => {
    const { dispatcher, fanout } = open();
    fanout.gate = () => new Promise(() => undefined);
    dispatcher.dispatch(dispatch(DIRECT, [1]));
    await dispatcher.idle(AbortSignal.timeout(10));
    assert.equal(dispatcher.pending, 1);
    await dispatcher[Symbol.asyncDispose]();
  });
});

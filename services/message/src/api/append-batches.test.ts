import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { AppendItemSchema } from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { createMemorySpanSink } from "@parley/platform/telemetry/span-sink";
import { createTelemetry } from "@parley/platform/telemetry/telemetry";
import {
  changeItem,
  createdItem,
  type MessageWorld,
  messageItem,
  openMessageWorld,
} from "../testing/message-world.ts";

async function refusal(
  call: Promise<unknown>,
): Promise<{ code: Code; reason: string | undefined }> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof ConnectError, String(error));
    return { code: error.code, reason: reasonOf(error) };
  }
  assert.fail("it was not refused");
}

async function directConversation(world: MessageWorld) {
  const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
  await world.append(createdItem(conversationId, [ann, ben]));
  return { conversationId, ann, ben };
}

/** Resolves when fan-out has got this many entries. */
async function dispatched(world: MessageWorld, entries: number): Promise<void> {
  while (world.fanout.batches.flatMap((batch) => batch.entries).length < entries) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("AppendBatches", () => {
  it("gives messages dense places, growing ids and the log's time", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ann, ben } = await directConversation(world);
    const before = Date.now();
    const accepted = await Promise.all(
      Array.from({ length: 300 }, (_, at) =>
        world.append(messageItem(conversationId, at % 2 === 0 ? ann : ben)),
      ),
    );
    assert.deepEqual(
      accepted.map(({ seq }) => Number(seq)),
      Array.from({ length: 300 }, (_, at) => at + 2),
    );
    for (const [at, { messageId, acceptTimeMs, duplicate }] of accepted.entries()) {
      assert.ok(messageId > (accepted[at - 1]?.messageId ?? 0n));
      assert.ok(Number(acceptTimeMs) >= before && Number(acceptTimeMs) <= Date.now());
      assert.equal(duplicate, false);
    }
  });

  it("answers a repetition with the first result, also after a removal", async () => {
    await using world = await openMessageWorld();
    const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben], ConversationKind.GROUP));
    const clientMessageId = newUuid();
    const item = () => messageItem(conversationId, ben, { clientMessageId });
    const first = await world.append(item());
    const [second, otherDevice] = await Promise.all([
      world.append(item()),
      world.append(messageItem(conversationId, ben, { clientMessageId, deviceId: "other" })),
    ]);
    assert.deepEqual({ ...second, duplicate: false }, { ...first }, "the same id, place and time");
    assert.equal(second.duplicate, true);
    assert.equal(otherDevice.duplicate, false, "another device's id is another message");
    await world.append(
      changeItem(conversationId, 2, ann, { case: "memberRemoved", value: { userId: ben } }),
    );
    const third = await world.append(item());
    assert.equal(third.seq, first.seq);
    assert.equal(third.duplicate, true);
    const refused = await refusal(world.append(messageItem(conversationId, ben)));
    assert.deepEqual(refused, { code: Code.PermissionDenied, reason: "NOT_A_MEMBER" });
  });

  it("refuses what may not be sent, and uses up no place for it", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ann, ben } = await directConversation(world);
    const stranger = await refusal(world.append(messageItem(conversationId, newUuid())));
    assert.deepEqual(stranger, { code: Code.NotFound, reason: "CONVERSATION_NOT_FOUND" });
    const nowhere = await refusal(world.append(messageItem(newUuid(), ann)));
    assert.deepEqual(nowhere, { code: Code.NotFound, reason: "CONVERSATION_NOT_FOUND" });
    const noUuid = await refusal(world.append(messageItem("home", ann)));
    assert.equal(noUuid.reason, "CONVERSATION_NOT_FOUND");
    const payload = new Uint8Array(64 * 1024 + 1);
    const large = await refusal(world.append(messageItem(conversationId, ann, { payload })));
    assert.deepEqual(large, { code: Code.InvalidArgument, reason: "PAYLOAD_TOO_LARGE" });
    const empty = await refusal(world.append(create(AppendItemSchema, { conversationId })));
    assert.equal(empty.code, Code.InvalidArgument);
    const nobody = await refusal(world.append(messageItem(conversationId, "")));
    assert.equal(nobody.code, Code.InvalidArgument);
    const permission = (version: number, maySend: boolean) =>
      world.append(
        changeItem(conversationId, version, ben, {
          case: "sendPermissionChanged",
          value: { userId: ann, maySend },
        }),
      );
    const unplaced = await permission(2, false);
    assert.deepEqual([unplaced.seq, unplaced.messageId, unplaced.duplicate], [0n, 0n, false]);
    const blocked = await refusal(world.append(messageItem(conversationId, ann)));
    assert.deepEqual(blocked, { code: Code.PermissionDenied, reason: "CANNOT_SEND" });
    await permission(3, true);
    const next = await world.append(messageItem(conversationId, ann));
    assert.equal(next.seq, 2n, "right behind the beginning");
  });

  it("takes changes in order of their version only", async () => {
    await using world = await openMessageWorld();
    const [conversationId, ann, ben, cem] = [newUuid(), newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben], ConversationKind.GROUP));
    const add = changeItem(conversationId, 3, ann, {
      case: "membersAdded",
      value: { userIds: [cem] },
    });
    const early = await refusal(world.append(add));
    assert.deepEqual(early, { code: Code.FailedPrecondition, reason: "CHANGE_OUT_OF_ORDER" });
    const title = changeItem(conversationId, 2, ann, {
      case: "titleChanged",
      value: { title: "new" },
    });
    const first = await world.append(title);
    assert.equal(first.seq, 2n);
    assert.equal((await world.append(add)).seq, 3n);
    await world.append(messageItem(conversationId, cem));
    const again = await world.append(title);
    assert.deepEqual({ ...again, duplicate: false }, { ...first }, "the first result");
    assert.equal(again.duplicate, true);
    const unknown = changeItem(newUuid(), 2, ann, { case: "titleChanged", value: { title: "x" } });
    assert.equal((await refusal(world.append(unknown))).reason, "CHANGE_OUT_OF_ORDER");
  });

  it("refuses another permission of a version that is taken", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ann, ben } = await directConversation(world);
    const permit = (version: number, maySend: boolean) =>
      changeItem(conversationId, version, ben, {
        case: "sendPermissionChanged",
        value: { userId: ann, maySend },
      });
    await world.append(permit(2, false));
    assert.equal((await world.append(permit(2, false))).duplicate, true);
    const other = await refusal(world.append(permit(2, true)));
    assert.deepEqual(other, { code: Code.FailedPrecondition, reason: "CHANGE_CONFLICT" });
    const still = await refusal(world.append(messageItem(conversationId, ann)));
    assert.equal(still.reason, "CANNOT_SEND");
    await world.append(permit(3, true));
    assert.equal((await world.append(messageItem(conversationId, ann))).seq, 2n);
  });

  it("brings a direct conversation to fan-out at once, in order, with its event", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ann, ben } = await directConversation(world);
    const sent = [];
    for (const text of ["one", "two", "three"]) {
      const options = { text, sessionId: "session-1", silent: text === "two" };
      sent.push(world.append(messageItem(conversationId, ann, options)));
    }
    const accepted = await Promise.all(sent);
    await dispatched(world, 4);
    const batches = world.fanout.batches;
    const entries = batches.flatMap((batch) => batch.entries);
    assert.deepEqual(
      entries.map(({ seq }) => Number(seq)),
      [1, 2, 3, 4],
    );
    assert.ok(batches.every((batch) => batch.kind === ConversationKind.DIRECT));
    assert.deepEqual(batches[0]?.directUserIds, [ann, ben].sort());
    const last = entries[3];
    assert.equal(last?.messageId, accepted[2]?.messageId);
    assert.equal(last?.senderUserId, ann);
    assert.equal(last?.originSessionId, "session-1");
    assert.deepEqual(
      entries.map(({ countsAsUnread, unreadOrdinal }) => [countsAsUnread, Number(unreadOrdinal)]),
      [
        [false, 0],
        [true, 1],
        [false, 1],
        [true, 2],
      ],
    );
    const { event } = fromBinary(EventSchema, last?.event ?? new Uint8Array());
    assert.equal(event.case, "message");
    assert.equal(event.case === "message" && event.value.seq, 4n);
    assert.equal((await world.groupBatches()).length, 0);
    assert.equal(entries[0]?.change?.change.case, "created");
  });

  it("brings a group through the log, a partition's conversations in order", async () => {
    await using world = await openMessageWorld();
    const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben], ConversationKind.GROUP));
    for (let at = 0; at < 20; at++) await world.append(messageItem(conversationId, ann));
    await world.service.drain();
    const batches = await world.groupBatches();
    assert.ok(batches.every((batch) => batch.conversationId === conversationId));
    assert.deepEqual(
      batches.flatMap((batch) => batch.entries.map(({ seq }) => Number(seq))),
      Array.from({ length: 21 }, (_, at) => at + 1),
    );
    assert.deepEqual(batches[0]?.directUserIds, []);
    assert.equal(world.fanout.batches.length, 0);
  });

  it("leaves one trace across append, log, apply, store and dispatch", async () => {
    const sink = createMemorySpanSink();
    await using telemetry = createTelemetry({
      serviceName: "test",
      logLevel: "silent",
      logFormat: "json",
      showPersonal: false,
      tracing: { sampleRatio: 0, sink },
    });
    await using world = await openMessageWorld({ telemetry });
    const { conversationId, ann } = await directConversation(world);
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const traceParent = `00-${traceId}-b7ad6b7169203331-01`;
    await world.append(messageItem(conversationId, ann, { traceParent }));
    await world.service.drain();
    const names = new Map(sink.finished(traceId).map((span) => [span.name, span]));
    for (const name of ["append", "log", "apply", "store", "dispatch"]) {
      assert.ok(names.has(`message.${name}`), `no span message.${name} in ${[...names.keys()]}`);
    }
    const append = names.get("message.append");
    assert.equal(append?.parentSpanId, "b7ad6b7169203331");
    assert.equal(names.get("message.apply")?.parentSpanId, append?.spanId);
    assert.equal(names.get("message.store")?.parentSpanId, names.get("message.apply")?.spanId);
    const entry = world.fanout.batches.at(-1)?.entries.at(-1);
    assert.ok(entry?.traceParent.includes(names.get("message.dispatch")?.spanId ?? "none"));
    assert.equal(world.fanout.batches[0]?.entries[0]?.traceParent, "", "the others left none");
  });
});

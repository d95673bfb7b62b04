import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import {
  asDevice,
  changeItem,
  createdItem,
  type MessageWorld,
  messageItem,
  openMessageWorld,
} from "../testing/message-world.ts";

const { NEWER, OLDER } = ReadDirection;

type Query = {
  readonly direction: ReadDirection;
  readonly fromSeq?: number;
  readonly pageSize?: number;
  readonly fromTime?: Timestamp;
};

async function list(world: MessageWorld, conversationId: string, userId: string, query: Query) {
  const { fromSeq = 0, ...rest } = query;
  const { messages, more, lastSeq } = await world.messages.listMessages(
    { ...rest, conversationId, fromSeq: BigInt(fromSeq) },
    asDevice(userId),
  );
  return { seqs: messages.map(({ seq }) => Number(seq)), more, lastSeq: Number(lastSeq) };
}

/** A group of ann and ben with entries 1 to `last`; ben is out from 6 to 10 and comes back with 11. */
async function openGroup(world: MessageWorld) {
  const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
  await world.append(createdItem(conversationId, [ann, ben], ConversationKind.GROUP));
  const say = async (count: number) => {
    for (let at = 0; at < count; at++) await world.append(messageItem(conversationId, ann));
  };
  await say(3); // 2 to 4
  await world.append(
    changeItem(conversationId, 2, ann, { case: "memberRemoved", value: { userId: ben } }),
  ); // 5
  await say(5); // 6 to 10
  await world.append(
    changeItem(conversationId, 3, ann, { case: "membersAdded", value: { userIds: [ben] } }),
  ); // 11
  await say(4); // 12 to 15
  return { conversationId, ann, ben };
}

describe("ListMessages", () => {
  it("reads in both directions, page by page, to the end", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ann } = await openGroup(world);
    const newer = await list(world, conversationId, ann, { direction: NEWER, pageSize: 6 });
    assert.deepEqual(newer, { seqs: [1, 2, 3, 4, 5, 6], more: true, lastSeq: 15 });
    const last = await list(world, conversationId, ann, { direction: NEWER, fromSeq: 12 });
    assert.deepEqual(last, { seqs: [13, 14, 15], more: false, lastSeq: 15 });
    const older = await list(world, conversationId, ann, { direction: OLDER, pageSize: 4 });
    assert.deepEqual(older, { seqs: [15, 14, 13, 12], more: true, lastSeq: 15 });
    const first = await list(world, conversationId, ann, { direction: OLDER, fromSeq: 3 });
    assert.deepEqual(first, { seqs: [2, 1], more: false, lastSeq: 15 });
    const none = await list(world, conversationId, ann, { direction: NEWER, fromSeq: 15 });
    assert.deepEqual(none, { seqs: [], more: false, lastSeq: 15 });
    const beyond = await list(world, conversationId, ann, { direction: OLDER, fromSeq: 99 });
    assert.equal(beyond.seqs[0], 15);
    const start = await list(world, conversationId, ann, { direction: OLDER, fromSeq: 1 });
    assert.deepEqual(start.seqs, []);
  });

  it("shows each membership from its first entry to its last", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ben } = await openGroup(world);
    const readable = [1, 2, 3, 4, 5, 11, 12, 13, 14, 15];
    const newer = await list(world, conversationId, ben, { direction: NEWER });
    assert.deepEqual(newer, { seqs: readable, more: false, lastSeq: 15 });
    const older = await list(world, conversationId, ben, { direction: OLDER });
    assert.deepEqual(older, { seqs: readable.toReversed(), more: false, lastSeq: 15 });
    const across = await list(world, conversationId, ben, {
      direction: NEWER,
      fromSeq: 7,
      pageSize: 2,
    });
    assert.deepEqual(across, { seqs: [11, 12], more: true, lastSeq: 15 });
    const edge = await list(world, conversationId, ben, {
      direction: OLDER,
      fromSeq: 12,
      pageSize: 1,
    });
    assert.deepEqual(edge, { seqs: [11], more: true, lastSeq: 15 });
  });

  it("ends for a former member where the membership ended, and says nothing to strangers", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ann, ben } = await openGroup(world);
    await world.append(changeItem(conversationId, 4, ben, { case: "memberLeft", value: {} })); // 16
    await world.append(messageItem(conversationId, ann)); // 17
    const page = await list(world, conversationId, ben, { direction: OLDER, pageSize: 2 });
    assert.deepEqual(page, { seqs: [16, 15], more: true, lastSeq: 16 });
    const stranger = list(world, conversationId, newUuid(), { direction: OLDER });
    await assert.rejects(stranger, (error) => reasonOf(error) === "CONVERSATION_NOT_FOUND");
    for (const id of [newUuid(), conversationId.toUpperCase()]) {
      const unknown = list(world, id, ann, { direction: OLDER });
      await assert.rejects(unknown, (error) => reasonOf(error) === "CONVERSATION_NOT_FOUND");
    }
  });

  it("gives 50 if nothing is asked for, 200 at most, and at most 1 MiB", async () => {
    await using world = await openMessageWorld();
    const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben]));
    await Promise.all(
      Array.from({ length: 250 }, () => world.append(messageItem(conversationId, ann))),
    );
    const few = await list(world, conversationId, ann, { direction: NEWER });
    assert.equal(few.seqs.length, 50);
    const many = await list(world, conversationId, ann, { direction: NEWER, pageSize: 1000 });
    assert.equal(many.seqs.length, 200);
    assert.equal(many.more, true);
    const payload = new Uint8Array(60 * 1024);
    for (let at = 0; at < 20; at++) {
      await world.append(messageItem(conversationId, ann, { payload }));
    }
    const heavy = await list(world, conversationId, ann, { direction: OLDER, pageSize: 100 });
    assert.equal(heavy.seqs.length, 17, "17 times 60 KiB is below 1 MiB");
    assert.equal(heavy.more, true);
  });

  it("jumps to a date", async () => {
    const clock = createManualClock(1_760_000_000_000);
    await using world = await openMessageWorld({ log: { clock } });
    const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben])); // 1, at 0 s
    for (let at = 0; at < 5; at++) {
      clock.set(clock.nowMs() + 10_000);
      await world.append(messageItem(conversationId, ann)); // 2 to 6, at 10 to 50 s
    }
    const from = (seconds: number, direction: ReadDirection) => {
      const fromTime = timestampFromMs(1_760_000_000_000 + seconds * 1000);
      return list(world, conversationId, ann, { direction, fromTime });
    };
    assert.deepEqual((await from(20, NEWER)).seqs, [3, 4, 5, 6], "at the time");
    assert.deepEqual((await from(20.001, NEWER)).seqs, [4, 5, 6], "after it");
    const justAfter = timestampFromMs(1_760_000_020_000);
    justAfter.nanos += 1;
    const query = { direction: NEWER, fromTime: justAfter };
    assert.deepEqual((await list(world, conversationId, ann, query)).seqs, [4, 5, 6], "by 1 ns");
    assert.deepEqual((await from(-1, NEWER)).seqs, [1, 2, 3, 4, 5, 6]);
    assert.deepEqual((await from(51, NEWER)).seqs, []);
    assert.deepEqual((await from(25, OLDER)).seqs, [4, 3, 2, 1], "from there back");
    assert.deepEqual((await from(51, OLDER)).seqs, [6, 5, 4, 3, 2, 1]);
  });

  it("shows changes and messages as they were made", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ann, ben } = await openGroup(world);
    const { messages } = await world.messages.listMessages(
      { conversationId, direction: NEWER, pageSize: 5 },
      asDevice(ann),
    );
    assert.deepEqual(
      messages.map(({ body }) => (body.case === "change" ? body.value.change.case : body.case)),
      ["created", "payload", "payload", "payload", "memberRemoved"],
    );
    const removal = messages[4];
    assert.equal(removal?.senderUserId, ann);
    assert.equal(removal?.membershipVersion, 2n);
    assert.equal(removal?.clientMessageId, "");
    assert.equal(removal?.clientTime, undefined);
    assert.equal(messages[3]?.membershipVersion, 1n);
    assert.equal(messages[3]?.conversationId, conversationId);
    assert.ok(messages[3]?.acceptTime && timestampMs(messages[3].acceptTime) > 0);
    const change = removal?.body.case === "change" ? removal.body.value.change : undefined;
    assert.equal(change?.case === "memberRemoved" && change.value.userId, ben);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { newUuid } from "@parley/platform/ids";
import {
  changeItem,
  createdItem,
  type MessageWorld,
  messageItem,
  openMessageWorld,
} from "../testing/message-world.ts";

/** Below what a stream may leave unanswered. */
const BURST = 500;

type Range = readonly [conversationId: string, afterSeq: number, lastSeq: number];

async function read(world: MessageWorld, userId: string, ranges: readonly Range[], entriesMax = 0) {
  const { slices } = await world.timeline.readRanges({
    userId,
    entriesMax,
    ranges: ranges.map(([conversationId, afterSeq, lastSeq]) => ({
      conversationId,
      afterSeq: BigInt(afterSeq),
      lastSeq: BigInt(lastSeq),
    })),
  });
  return slices.map(({ conversationId, entries, readThroughSeq }) => ({
    conversationId,
    seqs: entries.map(({ seq }) => Number(seq)),
    through: Number(readThroughSeq),
  }));
}

async function openPair(world: MessageWorld, messages: number, payloadBytes = 10) {
  const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
  await world.append(createdItem(conversationId, [ann, ben]));
  const payload = new Uint8Array(payloadBytes);
  for (let sent = 0; sent < messages; sent += BURST) {
    const burst = Array.from({ length: Math.min(BURST, messages - sent) }, () =>
      world.append(messageItem(conversationId, ann, { payload })),
    );
    await Promise.all(burst);
  }
  return { conversationId, ann, ben };
}

describe("ReadRanges", () => {
  it("gives stored events of several conversations in the order of the request", async () => {
    await using world = await openMessageWorld();
    const one = await openPair(world, 5);
    const two = newUuid();
    await world.append(createdItem(two, [one.ann, newUuid()]));
    const slices = await read(world, one.ann, [
      [two, 0, 1],
      [one.conversationId, 2, 4],
    ]);
    assert.deepEqual(slices, [
      { conversationId: two, seqs: [1], through: 1 },
      { conversationId: one.conversationId, seqs: [3, 4], through: 4 },
    ]);
    const { slices: raw } = await world.timeline.readRanges({
      userId: one.ann,
      ranges: [{ conversationId: one.conversationId, afterSeq: 1n, lastSeq: 2n }],
    });
    const entry = raw[0]?.entries[0];
    const { event } = fromBinary(EventSchema, entry?.event ?? new Uint8Array());
    assert.equal(event.case === "message" && event.value.messageId, entry?.messageId);
  });

  it("skips what is not the person's, and says that it has been looked at", async () => {
    await using world = await openMessageWorld();
    const [group, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(group, [ann, ben], ConversationKind.GROUP)); // 1
    const removal = { case: "memberRemoved", value: { userId: ben } } as const;
    await world.append(changeItem(group, 2, ann, removal)); // 2
    for (let at = 0; at < 4; at++) await world.append(messageItem(group, ann)); // 3 to 6
    assert.deepEqual(await read(world, ben, [[group, 0, 6]]), [
      { conversationId: group, seqs: [1, 2], through: 6 },
    ]);
    await world.append(
      changeItem(group, 3, ann, { case: "membersAdded", value: { userIds: [ben] } }),
    ); // 7
    assert.deepEqual(await read(world, ben, [[group, 1, 7]]), [
      { conversationId: group, seqs: [2, 7], through: 7 },
    ]);
    assert.deepEqual(await read(world, ben, [[group, 3, 5]]), [
      { conversationId: group, seqs: [], through: 5 },
    ]);
    const stranger = newUuid();
    assert.deepEqual(await read(world, stranger, [[group, 0, 7]]), [
      { conversationId: group, seqs: [], through: 7 },
    ]);
  });

  it("never claims to have looked behind the newest entry", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ben } = await openPair(world, 2);
    assert.deepEqual(await read(world, ben, [[conversationId, 1, 50]]), [
      { conversationId, seqs: [2, 3], through: 3 },
    ]);
  });

  it("stops at the number asked for, and is continued from there", async () => {
    await using world = await openMessageWorld();
    const one = await openPair(world, 9);
    const ranges: Range[] = [
      [one.conversationId, 0, 10],
      [one.conversationId, 0, 10],
    ];
    const slices = await read(world, one.ann, ranges, 4);
    assert.deepEqual(slices, [
      { conversationId: one.conversationId, seqs: [1, 2, 3, 4], through: 4 },
    ]);
    const rest = await read(world, one.ann, [[one.conversationId, 4, 10]], 100);
    assert.deepEqual(rest[0]?.seqs, [5, 6, 7, 8, 9, 10]);
    const many = await openPair(world, 1100);
    const most = await read(world, many.ann, [[many.conversationId, 0, 1101]], 5000);
    assert.equal(most[0]?.seqs.length, 1000);
    const usual = await read(world, many.ann, [[many.conversationId, 0, 1101]]);
    assert.equal(usual[0]?.seqs.length, 500);
  });

  it("stays below 1 MiB in all", async () => {
    await using world = await openMessageWorld();
    const large = await openPair(world, 30, 60 * 1024);
    const { slices } = await world.timeline.readRanges({
      userId: large.ann,
      ranges: [
        { conversationId: large.conversationId, afterSeq: 0n, lastSeq: 10n },
        { conversationId: large.conversationId, afterSeq: 10n, lastSeq: 31n },
      ],
    });
    const bytes = slices.flatMap(({ entries }) => entries.map(({ event }) => event.byteLength));
    assert.ok(bytes.reduce((sum, each) => sum + each, 0) <= 1024 * 1024);
    assert.equal(slices.length, 2);
    const full = await read(world, large.ann, [
      [large.conversationId, 1, 18],
      [large.conversationId, 18, 31],
    ]);
    assert.deepEqual(
      full.map(({ seqs, through }) => [seqs.length, through]),
      [
        [17, 18],
        [0, 18],
      ],
      "the first of the second would be too much",
    );
    assert.equal(slices[1]?.readThroughSeq, 10n + BigInt(slices[1]?.entries.length ?? 0));
  });
});

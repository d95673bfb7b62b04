import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { reasonOf, unavailable } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import {
  asDevice,
  changeItem,
  createdItem,
  type MessageWorld,
  messageItem,
  openMessageWorld,
} from "../testing/message-world.ts";

async function openPair(world: MessageWorld) {
  const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
  await world.append(createdItem(conversationId, [ann, ben])); // 1
  for (let at = 0; at < 4; at++) {
    await world.append(messageItem(conversationId, ann, { silent: at === 0 })); // 2 to 5
  }
  return { conversationId, ann, ben };
}

function update(
  world: MessageWorld,
  conversationId: string,
  userId: string,
  deliveredSeq: number,
  readSeq: number,
) {
  return world.messages
    .updateReceipt(
      { conversationId, deliveredSeq: BigInt(deliveredSeq), readSeq: BigInt(readSeq) },
      asDevice(userId),
    )
    .then(({ receipt }) => [Number(receipt?.deliveredSeq), Number(receipt?.readSeq)]);
}

describe("UpdateReceipt", () => {
  it("only grows, reads what is delivered, and ends at the newest entry", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ben } = await openPair(world);
    assert.deepEqual(await update(world, conversationId, ben, 3, 2), [3, 2]);
    assert.deepEqual(await update(world, conversationId, ben, 1, 1), [3, 2]);
    assert.deepEqual(await update(world, conversationId, ben, 0, 4), [4, 4], "read is delivered");
    assert.deepEqual(await update(world, conversationId, ben, 99, 0), [5, 4]);
    assert.deepEqual(await update(world, conversationId, ben, 99, 99), [5, 5]);
  });

  it("counts sending as having read everything before", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ann } = await openPair(world);
    assert.deepEqual(await update(world, conversationId, ann, 0, 0), [5, 5]);
  });

  it("tells fan-out the place, its ordinal and its author", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ann, ben } = await openPair(world);
    await update(world, conversationId, ben, 5, 3);
    assert.deepEqual(
      world.fanout.receipts.map((receipt) => ({ ...receipt, updateTimeMs: 0n })),
      [
        {
          $typeName: "parley.internal.fanout.v1.DispatchReceiptRequest",
          conversationId,
          userId: ben,
          deliveredSeq: 5n,
          readSeq: 3n,
          readUnreadOrdinal: 1n,
          updateTimeMs: 0n,
          showRead: true,
          authorUserId: ann,
          deliveredGrew: true,
          notShownUserIds: [],
        },
      ],
    );
    await update(world, conversationId, ben, 1, 1);
    assert.equal(world.fanout.receipts.length, 1, "what is old is told nobody");
    await update(world, conversationId, ben, 5, 3);
    assert.equal(
      world.fanout.receipts.length,
      2,
      "a repetition is told again: the notice may be lost",
    );
  });

  it("hides the read position of whoever wants that", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ann, ben } = await openPair(world);
    world.hiding.add(ben);
    await update(world, conversationId, ben, 5, 5);
    assert.equal(world.fanout.receipts[0]?.showRead, false);
    await update(world, conversationId, ann, 5, 5);
    assert.equal(world.fanout.receipts[1]?.showRead, true);
  });

  it("says who is not shown what others read: of the members, or, of many, the author", async () => {
    await using world = await openMessageWorld();
    const people = Array.from({ length: 33 }, () => newUuid());
    const [ann = "", ben = "", cem = ""] = people;
    for (const each of [ann, ben, cem]) world.hiding.add(each);
    const hidden = async (count: number) => {
      const group = newUuid();
      await world.append(createdItem(group, people.slice(0, count), ConversationKind.GROUP));
      await world.append(messageItem(group, ben));
      await update(world, group, ann, 2, 2);
      return world.fanout.receipts.at(-1)?.notShownUserIds;
    };
    assert.deepEqual((await hidden(32))?.toSorted(), [ben, cem].sort());
    assert.deepEqual(await hidden(33), [ben]);
  });

  it("says whether the delivered position grew, once", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ben } = await openPair(world);
    await update(world, conversationId, ben, 4, 0);
    await update(world, conversationId, ben, 4, 4);
    await update(world, conversationId, ben, 4, 4);
    await update(world, conversationId, ben, 0, 5);
    assert.deepEqual(
      world.fanout.receipts.map(({ deliveredGrew }) => deliveredGrew),
      [true, false, false, true],
    );
  });

  it("is for present members", async () => {
    await using world = await openMessageWorld();
    const [group, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(group, [ann, ben], ConversationKind.GROUP));
    await world.append(changeItem(group, 2, ben, { case: "memberLeft", value: {} }));
    await assert.rejects(update(world, group, ben, 1, 1), (error) => {
      assert.ok(error instanceof ConnectError);
      assert.deepEqual([error.code, reasonOf(error)], [Code.PermissionDenied, "NOT_A_MEMBER"]);
      return true;
    });
    await assert.rejects(
      update(world, group, newUuid(), 1, 1),
      (error) => reasonOf(error) === "CONVERSATION_NOT_FOUND",
    );
  });

  it("lets the caller repeat when the others could not be told", async () => {
    await using world = await openMessageWorld();
    const { conversationId, ben } = await openPair(world);
    world.fanout.receiptError = unavailable("DRAINING", "going away");
    await assert.rejects(update(world, conversationId, ben, 4, 4), (error) => {
      assert.ok(error instanceof ConnectError);
      return error.code === Code.Unavailable;
    });
    world.fanout.receiptError = undefined;
    assert.deepEqual(await update(world, conversationId, ben, 4, 4), [4, 4]);
    assert.equal(world.fanout.receipts.length, 1);
  });
});

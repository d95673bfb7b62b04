import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import {
  asDevice,
  changeItem,
  createdItem,
  messageItem,
  openMessageWorld,
} from "../testing/message-world.ts";

describe("ListReceipts", () => {
  it("lists the members' positions by user id, page by page", async () => {
    await using world = await openMessageWorld();
    const people = Array.from({ length: 7 }, () => newUuid()).sort();
    const [group, sender = "", reader = ""] = [newUuid(), ...people];
    await world.append(createdItem(group, people, ConversationKind.GROUP));
    await world.append(messageItem(group, sender));
    await world.messages.updateReceipt(
      { conversationId: group, deliveredSeq: 2n, readSeq: 1n },
      asDevice(reader),
    );
    const found = [];
    let pageToken = "";
    do {
      const request = { conversationId: group, pageSize: 3, pageToken };
      const page = await world.messages.listReceipts(request, asDevice(reader));
      found.push(...page.receipts);
      assert.ok(page.receipts.length <= 3);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    assert.deepEqual(
      found.map(({ userId }) => userId),
      people,
    );
    const positions = found.map(({ deliveredSeq, readSeq }) => [deliveredSeq, readSeq]);
    assert.deepEqual(positions.slice(0, 3), [
      [2n, 2n],
      [2n, 1n],
      [0n, 0n],
    ]);
    assert.ok(found[0]?.updateTime !== undefined);
    assert.equal(found[2]?.updateTime, undefined);
  });

  it("hides read positions from the others and theirs from whoever hides, not from their owner", async () => {
    await using world = await openMessageWorld();
    const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben]));
    await world.append(messageItem(conversationId, ann));
    await world.append(messageItem(conversationId, ben));
    const readOf = async (caller: string, owner: string) => {
      const { receipts } = await world.messages.listReceipts({ conversationId }, asDevice(caller));
      const receipt = receipts.find(({ userId }) => userId === owner);
      const timed = receipt?.updateTime !== undefined;
      return [receipt?.deliveredSeq, receipt?.readSeq, timed ? "timed" : "untimed"];
    };
    world.hiding.add(ann);
    assert.deepEqual(await readOf(ben, ann), [2n, 0n, "untimed"], "the time would tell of it");
    assert.deepEqual(await readOf(ann, ann), [2n, 2n, "timed"]);
    assert.deepEqual(await readOf(ann, ben), [3n, 0n, "untimed"]);
    assert.deepEqual(await readOf(ben, ben), [3n, 3n, "timed"]);
  });

  it("is for present members, and takes no token that it did not give", async () => {
    await using world = await openMessageWorld();
    const [group, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(group, [ann, ben], ConversationKind.GROUP));
    const removal = { case: "memberRemoved", value: { userId: ben } } as const;
    await world.append(changeItem(group, 2, ann, removal));
    const list = (userId: string, pageToken = "") =>
      world.messages.listReceipts({ conversationId: group, pageToken }, asDevice(userId));
    const { receipts } = await list(ann);
    assert.deepEqual(
      receipts.map(({ userId }) => userId),
      [ann],
    );
    await assert.rejects(list(ben), (error) => reasonOf(error) === "NOT_A_MEMBER");
    await assert.rejects(list(newUuid()), (error) => reasonOf(error) === "CONVERSATION_NOT_FOUND");
    for (const token of ["x", "W10", "WzFd", Buffer.from("[[]]").toString("base64url")]) {
      await assert.rejects(list(ann, token), (error) => reasonOf(error) === "INVALID_FIELD", token);
    }
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import {
  asDevice,
  asOperator,
  createdItem,
  messageItem,
  openMessageWorld,
} from "../testing/message-world.ts";

const garbage = new Uint8Array([255, 255, 255]);

describe("ListParkedRecords", () => {
  it("shows what could not be decoded, and everything else goes on", async () => {
    await using world = await openMessageWorld({ log: { partitionCount: 1 } });
    const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben]));
    const before = Date.now();
    for (let at = 0; at < 5; at++) await world.log.append("messages", 0, garbage);
    assert.equal((await world.append(messageItem(conversationId, ann))).seq, 2n);
    const first = await world.parked.listParkedRecords({ pageSize: 3 }, asOperator());
    const { nextPageToken: pageToken } = first;
    const second = await world.parked.listParkedRecords({ pageToken }, asOperator());
    const records = [...first.records, ...second.records];
    assert.deepEqual(
      records.map(({ topic, partition, offset }) => [topic, partition, Number(offset)]),
      [1, 2, 3, 4, 5].map((offset) => ["messages", 0, offset]),
    );
    assert.equal(second.nextPageToken, "");
    assert.equal(records[0]?.sizeBytes, 3n);
    assert.equal(records[0]?.reason, "The bytes are no ConversationRecord.");
    assert.ok(records[0]?.appendTime && timestampMs(records[0].appendTime) >= before);
  });

  it("is for operators, and takes no token that it did not give", async () => {
    await using world = await openMessageWorld();
    await assert.rejects(world.parked.listParkedRecords({}, asDevice(newUuid())), (error) => {
      assert.ok(error instanceof ConnectError);
      return error.code === Code.PermissionDenied || error.code === Code.Unauthenticated;
    });
    const token = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const bad = ["?", token(["messages", 0]), token(["messages", -1, 0]), token(["m", 0, 1.5])];
    for (const pageToken of bad) {
      const listed = world.parked.listParkedRecords({ pageToken }, asOperator());
      await assert.rejects(listed, (error) => reasonOf(error) === "INVALID_FIELD", pageToken);
    }
  });
});

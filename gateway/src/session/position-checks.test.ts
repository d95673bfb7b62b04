import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { InboxHeadSchema } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { TimelineSliceSchema } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { judge, PositionChecks } from "./position-checks.ts";

const slice = (readThroughSeq: bigint, ...ids: [seq: bigint, messageId: bigint][]) =>
  create(TimelineSliceSchema, {
    conversationId: "c",
    entries: ids.map(([seq, messageId]) => ({ seq, messageId })),
    readThroughSeq,
  });

describe("judge", () => {
  // The device has the entry 5, whose id is 50.
  const check = (headSeq: number | undefined) => ({ seq: 5, messageId: 50n, headSeq });

  it("compares the entry that is there", () => {
    for (const headSeq of [undefined, 3, 5, 9]) {
      for (const first of [true, false]) {
        assert.equal(judge(check(headSeq), slice(5n, [5n, 50n]), first), "same");
        assert.equal(judge(check(headSeq), slice(5n, [5n, 51n]), first), "other");
      }
    }
  });

  it("knows that a device is ahead of a timeline that ends, and not of one that was not read", () => {
    for (const headSeq of [undefined, 3]) {
      assert.equal(judge(check(headSeq), slice(4n), true), "other");
      assert.equal(judge(check(headSeq), slice(4n), false), "open");
    }
  });

  it("waits for a timeline that the inbox is ahead of", () => {
    assert.equal(judge(check(9), slice(4n), true), "open");
  });

  it("concludes nothing from what may not be read, unless nobody knows of it", () => {
    assert.equal(judge(check(9), slice(8n, [8n, 80n]), true), "same");
    assert.equal(judge(check(5), slice(5n), true), "same");
    assert.equal(judge(check(3), slice(5n), true), "nothing");
    assert.equal(judge(check(undefined), slice(5n), true), "nothing");
  });
});

describe("position checks", () => {
  const head = (conversationId: string, lastSeq: bigint, lastMessageId: bigint) =>
    create(InboxHeadSchema, { conversationId, lastSeq, lastMessageId });

  it("need no reading where the inbox has the same newest entry", () => {
    const checks = new PositionChecks(new Map([["a", 5]]), new Map([["a", 50n]]));
    assert.equal(checks.of(head("a", 5n, 50n)), undefined);
    assert.deepEqual(checks.rest(), []);
  });

  it("name what has to be compared, each once", () => {
    const positions = new Map([
      ["a", 5],
      ["b", 5],
      ["c", 5],
      ["d", 5],
      ["empty", 0],
      ["no id", 5],
    ]);
    const ids = new Map(["a", "b", "c", "d", "empty"].map((id) => [id, 50n]));
    const checks = new PositionChecks(positions, ids);
    const check = (headSeq: number | undefined) => ({ seq: 5, messageId: 50n, headSeq });
    assert.deepEqual(checks.of(head("a", 5n, 51n)), check(5));
    assert.deepEqual(checks.of(head("b", 9n, 90n)), check(9));
    assert.deepEqual(checks.of(head("c", 3n, 30n)), check(3));
    assert.equal(checks.of(head("b", 9n, 90n)), undefined);
    assert.equal(checks.of(head("empty", 3n, 30n)), undefined);
    assert.equal(checks.of(head("no id", 3n, 30n)), undefined);
    assert.equal(checks.of(head("new", 3n, 30n)), undefined);
    assert.deepEqual(checks.rest(), [["d", check(undefined)]]);
    assert.deepEqual(checks.rest(), []);
  });
});

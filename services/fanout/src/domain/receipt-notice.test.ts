import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import fc from "fast-check";
import { encodeReceipt, mergeNotices, type ReceiptNotice, toldOf } from "./receipt-notice.ts";

const people = ["ann", "bob", "cem", "dan"];

const anyNotice: fc.Arbitrary<ReceiptNotice> = fc.record({
  conversationId: fc.constant("c"),
  userId: fc.constant("eve"),
  deliveredSeq: fc.bigInt(0n, 9n),
  readSeq: fc.bigInt(0n, 9n),
  readUnreadOrdinal: fc.bigInt(0n, 9n),
  updateTimeMs: fc.bigInt(1n, 9n),
  showRead: fc.boolean(),
  authorUserId: fc.constantFrom(...people),
  deliveredGrew: fc.boolean(),
  notShownUserIds: fc.subarray(people),
});

test("however many notices are one, nobody is told what one of them keeps from them", () => {
  fc.assert(
    fc.property(fc.array(anyNotice, { minLength: 1, maxLength: 5 }), (notices) => {
      const merged = notices.reduce(mergeNotices);
      const { all, delivered } = toldOf(merged, people);
      const newest = notices.at(-1);
      if (newest?.showRead === false) assert.deepEqual(all, []);
      for (const { notShownUserIds } of notices) {
        assert.ok(all.every((userId) => !notShownUserIds.includes(userId)));
      }
      const grew = notices.some(({ deliveredGrew }) => deliveredGrew);
      const told = [...all, ...delivered].sort();
      if (grew) assert.deepEqual(told, people, "what was delivered is told everybody, once");
      else assert.deepEqual(delivered, []);
      for (const { deliveredSeq, readSeq, updateTimeMs } of notices) {
        assert.ok(merged.deliveredSeq >= deliveredSeq && merged.readSeq >= readSeq);
        assert.ok(merged.updateTimeMs >= updateTimeMs);
      }
    }),
  );
});

test("a notice without the read position has neither it nor a time", () => {
  fc.assert(
    fc.property(anyNotice, (notice) => {
      const { event } = fromBinary(EventSchema, encodeReceipt(notice, false));
      assert.ok(event.case === "receipt");
      assert.equal(event.value.deliveredSeq, notice.deliveredSeq);
      assert.deepEqual([event.value.readSeq, event.value.updateTime], [0n, undefined]);
      const whole = fromBinary(EventSchema, encodeReceipt(notice, true)).event;
      assert.ok(whole.case === "receipt" && whole.value.updateTime !== undefined);
      assert.equal(whole.value.readSeq, notice.readSeq);
    }),
  );
});

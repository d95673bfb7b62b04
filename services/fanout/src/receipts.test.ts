import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { createManualClock } from "@parley/platform/clock";
import { reasonOf, retryAfterMsOf } from "@parley/platform/errors";
import { createSilentLogger } from "@parley/platform/telemetry/logger";
import { createReceipts } from "./receipts.ts";
import { createTestConversation, type TestConversation } from "./testing/test-entries.ts";
import type { TestGateway } from "./testing/test-gateway.ts";
import { createTestService, type TestService } from "./testing/test-service.ts";

const people = (count: number) => Array.from({ length: count }, (_, index) => `u${index}`);

/** A group whose first members are online, and whose creation has been delivered. */
async function createGroup({ append, registry, drainLog }: TestService, count: number) {
  registry.online("west", ...people(count));
  const group = createTestConversation();
  await append(group.batch(group.created(people(count)), group.message("u1")));
  await drainLog();
  return group;
}

function noticeOf({ conversationId }: TestConversation, userId: string, seq: number) {
  return {
    conversationId,
    userId,
    deliveredSeq: BigInt(seq),
    readSeq: BigInt(seq),
    readUnreadOrdinal: BigInt(seq - 1),
    updateTimeMs: 1_700_000_000_000n + BigInt(seq),
    showRead: true,
    authorUserId: "u1",
  };
}

/** Receipts that were delivered: whose, how far, to whom. */
function receiptsOf({ deliveries }: TestGateway) {
  return deliveries.flatMap(({ conversationId, events, userIds }) => {
    if (conversationId !== "") return [];
    return events.map(({ event, seq }) => {
      const decoded = fromBinary(EventSchema, event).event;
      assert.equal(decoded.case, "receipt");
      assert.equal(seq, 0n);
      const { userId, deliveredSeq, readSeq, updateTime } = decoded.value as {
        userId: string;
        deliveredSeq: bigint;
        readSeq: bigint;
        updateTime: Parameters<typeof timestampMs>[0];
      };
      assert.ok(timestampMs(updateTime) > 1_700_000_000_000);
      return `${userId} ${deliveredSeq}/${readSeq} → ${userIds.toSorted().join()}`;
    });
  });
}

/** Lets everything that was started come to its end. */
async function settle(parts: TestService, deliveries: number) {
  await parts.gateway("west").received(deliveries);
}

test("in a pair both learn of it at once, and the inbox keeps it", async () => {
  await using parts = await createTestService();
  const { registry, fanout, gateway } = parts;
  registry.online("west", "u0", "u1");
  const pair = createTestConversation({ direct: ["u0", "u1"] });
  // Alike entries that come together are one delivery.
  await parts.append(pair.batch(pair.message("u1"), pair.message("u1")));
  await parts.drainLog();
  await fanout.dispatchReceipt(noticeOf(pair, "u0", 2));
  await settle(parts, 2);
  assert.deepEqual(receiptsOf(gateway("west")), ["u0 2/2 → u0,u1"]);
  const { entries } = await parts.inboxOf("u0").listInbox({});
  assert.equal(entries[0]?.readSeq, 2n);
  assert.equal(entries[0]?.unreadCount, 1n);
});

test("who hides what they read shows it to their own sessions only", async () => {
  await using parts = await createTestService();
  const { registry, fanout, gateway } = parts;
  registry.online("west", "u0", "u1");
  const pair = createTestConversation({ direct: ["u0", "u1"] });
  await parts.append(pair.batch(pair.message("u1")));
  await parts.drainLog();
  await fanout.dispatchReceipt({ ...noticeOf(pair, "u0", 1), showRead: false });
  await settle(parts, 3);
  assert.deepEqual(receiptsOf(gateway("west")).toSorted(), ["u0 1/0 → u1", "u0 1/1 → u0"]);
});

test("in a group a second of notices is one, with the newest positions", async () => {
  await using parts = await createTestService();
  const { fanout, gateway, clock } = parts;
  const group = await createGroup(parts, 3);
  const before = gateway("west").deliveries.length;
  await fanout.dispatchReceipt(noticeOf(group, "u0", 1));
  await fanout.dispatchReceipt(noticeOf(group, "u0", 3));
  await fanout.dispatchReceipt(noticeOf(group, "u0", 2));
  await fanout.dispatchReceipt(noticeOf(group, "u2", 1));
  await settle(parts, before + 4);
  clock.advance(900);
  const own = ["u0 1/1 → u0", "u0 2/2 → u0", "u0 3/3 → u0", "u2 1/1 → u2"];
  assert.deepEqual(receiptsOf(gateway("west")).toSorted(), own);
  clock.advance(200);
  await settle(parts, before + 6);
  const others = receiptsOf(gateway("west")).slice(4);
  assert.deepEqual(others.toSorted(), ["u0 3/3 → u1,u2", "u2 1/1 → u0,u1"]);
});

test("a position that was hidden within the second stays hidden", async () => {
  await using parts = await createTestService();
  const { fanout, gateway, clock } = parts;
  const group = await createGroup(parts, 2);
  const before = gateway("west").deliveries.length;
  await fanout.dispatchReceipt(noticeOf(group, "u0", 1));
  await fanout.dispatchReceipt({ ...noticeOf(group, "u0", 2), showRead: false });
  clock.advance(1100);
  await settle(parts, before + 3);
  assert.deepEqual(receiptsOf(gateway("west")).slice(2), ["u0 2/0 → u1"]);
});

test("in a large group only authors are told", async () => {
  await using parts = await createTestService();
  const { fanout, gateway, clock } = parts;
  const group = await createGroup(parts, 33);
  const before = gateway("west").deliveries.length;
  await fanout.dispatchReceipt(noticeOf(group, "u0", 1));
  await fanout.dispatchReceipt({ ...noticeOf(group, "u0", 2), authorUserId: "u5" });
  await fanout.dispatchReceipt({ ...noticeOf(group, "u7", 2), authorUserId: "u7" });
  clock.advance(1100);
  await settle(parts, before + 4);
  assert.deepEqual(receiptsOf(gateway("west")).slice(3), ["u0 2/2 → u1,u5"]);
});

test("who left tells nobody else", async () => {
  await using parts = await createTestService();
  const { fanout, gateway, clock, append } = parts;
  const group = await createGroup(parts, 3);
  await append(group.batch(group.removed("u1", "u0")));
  await parts.drainLog();
  const before = gateway("west").deliveries.length;
  await fanout.dispatchReceipt(noticeOf(group, "u0", 2));
  clock.advance(1100);
  await settle(parts, before + 1);
  assert.deepEqual(receiptsOf(gateway("west")), ["u0 2/2 → u0"]);
});

test("what is being collected goes out when the service drains", async () => {
  const parts = await createTestService();
  await using _parts = parts;
  const { fanout, gateway } = parts;
  const group = await createGroup(parts, 2);
  const before = gateway("west").deliveries.length;
  await fanout.dispatchReceipt(noticeOf(group, "u0", 2));
  await settle(parts, before + 1);
  await parts.service.drain();
  assert.deepEqual(receiptsOf(gateway("west")), ["u0 2/2 → u0", "u0 2/2 → u1"]);
});

test("while too much waits for the disk, positions are refused, to be sent again", async () => {
  const store = {
    full: true,
    readConversation: async () => undefined,
    write: () => assert.fail("it would only add to what waits"),
  };
  const deliverer = { deliver: () => assert.fail("it is not kept") };
  const parts = { store, deliverer, clock: createManualClock(), log: createSilentLogger() };
  await using receipts = createReceipts(parts);
  const notice = noticeOf(createTestConversation(), "ann", 1);
  await assert.rejects(receipts.dispatch(notice), (error) => {
    assert.ok((retryAfterMsOf(error) ?? 0) > 0);
    return reasonOf(error) === "INBOX_NOT_WRITABLE";
  });
});

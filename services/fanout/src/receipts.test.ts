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
    deliveredGrew: true,
    notShownUserIds: [] as string[],
  };
}

/** Receipts that were delivered: whose, how far, to whom. One without a read position has no time either. */
function receiptsOf({ deliveries }: TestGateway) {
  return deliveries.flatMap(({ conversationId, events, userIds }) => {
    if (conversationId !== "") return [];
    return events.map(({ event, seq }) => {
      const decoded = fromBinary(EventSchema, event).event;
      assert.ok(decoded.case === "receipt" && seq === 0n);
      const { userId, deliveredSeq, readSeq, updateTime } = decoded.value;
      if (readSeq === 0n) assert.equal(updateTime, undefined);
      else assert.ok(updateTime && timestampMs(updateTime) > 1_700_000_000_000);
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

test("who hides what they read shows it to their own sessions only, and not that they did", async () => {
  await using parts = await createTestService();
  const { registry, fanout, gateway } = parts;
  registry.online("west", "u0", "u1");
  const pair = createTestConversation({ direct: ["u0", "u1"] });
  await parts.append(pair.batch(pair.message("u1")));
  await parts.drainLog();
  const notice = { ...noticeOf(pair, "u0", 1), showRead: false };
  await fanout.dispatchReceipt(notice);
  await settle(parts, 3);
  await fanout.dispatchReceipt({ ...notice, deliveredGrew: false });
  await fanout.dispatchReceipt(notice);
  await settle(parts, 6);
  const [own, others] = ["u0 1/1 → u0", "u0 1/0 → u1"];
  assert.deepEqual(receiptsOf(gateway("west")).toSorted(), [others, others, own, own, own]);
});

test("who hides their own is not shown what others read", async () => {
  await using parts = await createTestService();
  const { registry, fanout, gateway } = parts;
  registry.online("west", "u0", "u1");
  const pair = createTestConversation({ direct: ["u0", "u1"] });
  await parts.append(pair.batch(pair.message("u1")));
  await parts.drainLog();
  const notice = { ...noticeOf(pair, "u0", 1), notShownUserIds: ["u1"] };
  await fanout.dispatchReceipt({ ...notice, deliveredGrew: false });
  await fanout.dispatchReceipt(notice);
  await settle(parts, 4);
  assert.deepEqual(receiptsOf(gateway("west")).toSorted(), [
    "u0 1/0 → u1",
    "u0 1/1 → u0",
    "u0 1/1 → u0",
  ]);
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

test("within a second, each member is told what both allow", async () => {
  await using parts = await createTestService();
  const { fanout, gateway, clock } = parts;
  const group = await createGroup(parts, 4);
  const before = gateway("west").deliveries.length;
  const read = { ...noticeOf(group, "u0", 2), deliveredGrew: false };
  await fanout.dispatchReceipt({ ...noticeOf(group, "u0", 1), notShownUserIds: ["u3"] });
  await fanout.dispatchReceipt({ ...read, notShownUserIds: ["u2"] });
  await fanout.dispatchReceipt({ ...read, userId: "u1", notShownUserIds: ["u2"] });
  await fanout.dispatchReceipt({ ...read, userId: "u2", showRead: false });
  await fanout.dispatchReceipt({ ...read, userId: "u3" });
  await fanout.dispatchReceipt({ ...read, userId: "u3", showRead: false });
  clock.advance(1100);
  await settle(parts, before + 6 + 3);
  await parts.service.drain();
  assert.deepEqual(receiptsOf(gateway("west")).slice(6).toSorted(), [
    "u0 2/0 → u2,u3",
    "u0 2/2 → u1",
    "u1 2/2 → u0,u3",
  ]);
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

test("in a large group an author who hides their own is told of what was delivered", async () => {
  await using parts = await createTestService();
  const { fanout, gateway, clock } = parts;
  const group = await createGroup(parts, 33);
  const before = gateway("west").deliveries.length;
  const notice = { ...noticeOf(group, "u0", 1), notShownUserIds: ["u1"] };
  await fanout.dispatchReceipt(notice);
  await fanout.dispatchReceipt({ ...notice, authorUserId: "u5", notShownUserIds: [] });
  await fanout.dispatchReceipt({ ...notice, userId: "u7", deliveredGrew: false });
  clock.advance(1100);
  await settle(parts, before + 5);
  await parts.service.drain();
  const told = receiptsOf(gateway("west")).slice(3);
  assert.deepEqual(told.toSorted(), ["u0 1/0 → u1", "u0 1/1 → u5"]);
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

import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  type Delivery,
  DeliverySchema,
} from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { createSilentLogger } from "@parley/platform/telemetry/logger";
import { GIVE_UP_MS, HANDOVER_WAIT_MS } from "./delivery-queue.ts";
import { createGatewayLink } from "./gateway-link.ts";
import { createTestGateway } from "./testing/test-gateway.ts";

function createLink() {
  const gateway = createTestGateway();
  const clock = createManualClock();
  const givenUp: Delivery[] = [];
  const left: string[] = [];
  const link = createGatewayLink({
    gatewayId: "west",
    transport: gateway.transport,
    clock,
    log: createSilentLogger(),
    observer: {
      onLeft: (userIds) => left.push(...userIds),
      onGivenUp: (delivery) => givenUp.push(delivery),
    },
  });
  const deliver = (userId: string, conversationId = "c") =>
    new Promise<void>((resolve) => {
      link.deliver(create(DeliverySchema, { conversationId, userIds: [userId] }), 10, resolve);
    });
  const taken = () => gateway.deliveries.map(({ userIds }) => userIds[0]);
  return { gateway, clock, givenUp, left, link, deliver, taken };
}

test("what one turn brings travels in one batch, in order", async () => {
  const { link, deliver, taken, gateway } = createLink();
  await using _link = link;
  await Promise.all([deliver("a"), deliver("b"), deliver("c")]);
  assert.deepEqual(taken(), ["a", "b", "c"]);
  await deliver("d");
  assert.deepEqual(gateway.streams, [[1n, 2n]]);
  assert.equal(link.depth, 0);
});

test("people who have left are reported", async () => {
  const { link, deliver, gateway, left } = createLink();
  await using _link = link;
  gateway.absent.add("b");
  await Promise.all([deliver("a"), deliver("b")]);
  assert.deepEqual(left, ["b"]);
});

test("a lost stream is opened again, numbered from 1, and nothing is lost or reordered", async () => {
  const { link, deliver, gateway, taken, givenUp } = createLink();
  await using _link = link;
  await deliver("a");
  gateway.mode = "deaf";
  const unanswered = [deliver("b"), deliver("c")];
  await new Promise((resolve) => setImmediate(resolve));
  gateway.mode = "gone";
  gateway.mode = "ready";
  await Promise.all([...unanswered, deliver("d")]);
  assert.deepEqual(taken(), ["a", "b", "c", "d"]);
  assert.equal(gateway.streams.at(-1)?.[0], 1n);
  assert.deepEqual(givenUp, []);
});

test("a gateway that does not answer is given up, and taken up again when it does", async () => {
  const { link, deliver, gateway, clock, givenUp, taken } = createLink();
  await using _link = link;
  gateway.mode = "deaf";
  const waited = deliver("a");
  await new Promise((resolve) => setImmediate(resolve));
  clock.advance(HANDOVER_WAIT_MS);
  await waited;
  assert.equal(givenUp.length, 0);
  clock.advance(GIVE_UP_MS - HANDOVER_WAIT_MS);
  assert.equal(givenUp.length, 1);
  gateway.mode = "ready";
  await deliver("b");
  assert.deepEqual(taken(), ["b"]);
  assert.deepEqual(gateway.missed, [["a"]], "whom it passed by is named first");
  assert.deepEqual(gateway.streams, [[], [1n]], "the dead stream is left behind");
  assert.deepEqual(gateway.endings, ["ended"], "which is no reason to catch up everybody");
});

test("a gateway is told whom it missed something for although nothing else comes", async () => {
  const { link, deliver, gateway, clock } = createLink();
  await using _link = link;
  gateway.mode = "gone";
  const waited = deliver("a");
  clock.advance(GIVE_UP_MS);
  await waited;
  assert.equal(link.depth, 0);
  assert.deepEqual(link.missedUserIds, ["a"]);
  assert.equal(gateway.streams.length, 0);
  gateway.mode = "ready";
  while (link.missedUserIds.length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual([gateway.missed, gateway.deliveries], [[["a"]], []]);
});

test("a stream is ended by a link that owes nothing, and broken off by one that does", async () => {
  const first = createLink();
  await first.deliver("a");
  await first.link[Symbol.asyncDispose]();
  assert.deepEqual(first.gateway.endings, ["ended"]);
  const second = createLink();
  second.gateway.mode = "deaf";
  const waited = second.deliver("a");
  while (second.gateway.streams.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await second.link[Symbol.asyncDispose]();
  await waited;
  assert.deepEqual(second.gateway.endings, ["broken"]);
  const third = createLink();
  third.gateway.mode = "deaf";
  void third.deliver("typing", "");
  while (third.gateway.streams.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await third.link[Symbol.asyncDispose]();
  assert.deepEqual(third.gateway.endings, ["ended"]);
});

test("what comes late on a stream that was left acknowledges nothing of the next", async () => {
  const { link, deliver, gateway, clock } = createLink();
  await using _link = link;
  gateway.mode = "slow";
  void deliver("a");
  while (gateway.held === 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(GIVE_UP_MS);
  const waited = deliver("b");
  while (gateway.held === 1) await new Promise((resolve) => setImmediate(resolve));
  gateway.releaseOne();
  for (let at = 0; at < 20; at++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(link.depth, 1);
  assert.deepEqual(link.missedUserIds, ["a"]);
  gateway.releaseOne();
  await waited;
  assert.deepEqual(link.missedUserIds, []);
});

test("disposing gives up what waits for a gateway that is gone", async () => {
  const { link, deliver, gateway, givenUp } = createLink();
  gateway.mode = "gone";
  const waited = deliver("a");
  await link[Symbol.asyncDispose]();
  await waited;
  assert.equal(givenUp.length, 1);
  await deliver("late");
  assert.equal(givenUp.length, 2);
});

test("a link knows how long it has been idle", async () => {
  const { link, deliver, clock } = createLink();
  await using _link = link;
  await deliver("a");
  clock.advance(3000);
  assert.equal(link.idleMs, 3000);
  await deliver("b");
  assert.equal(link.idleMs, 0);
});

test("ending sessions is passed on, and fails when the gateway is gone", async () => {
  const { link, gateway } = createLink();
  await using _link = link;
  await link.endSessions("ann", ["d1"], 1000);
  assert.deepEqual(gateway.ended, [{ userId: "ann", deviceIds: ["d1"] }]);
  gateway.mode = "gone";
  await assert.rejects(link.endSessions("ann", ["d1"], 1000));
});

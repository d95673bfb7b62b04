import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  type Delivery,
  DeliverySchema,
} from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import {
  BATCHES_IN_FLIGHT_MAX,
  createDeliveryQueue,
  GIVE_UP_MS,
  HANDOVER_WAIT_MS,
  QUEUE_DELIVERIES_MAX,
  TICK_MS,
} from "./delivery-queue.ts";
import { MISSED_PEOPLE_MAX } from "./missed-people.ts";

const MIB = 1024 * 1024;

function createQueue() {
  const givenUp: Delivery[] = [];
  const handedOver: string[] = [];
  const queue = createDeliveryQueue((delivery) => givenUp.push(delivery));
  const add = (name: string, options: { bytes?: number; ephemeral?: boolean } = {}) =>
    queue.add(
      create(DeliverySchema, {
        conversationId: options.ephemeral === true ? "" : "c",
        userIds: [name],
      }),
      options.bytes ?? 1,
      () => handedOver.push(name),
    );
  const take = () => queue.takeBatch()?.deliveries.map(({ userIds }) => userIds[0]);
  const pass = (ms: number) => {
    let dead = false;
    for (let passed = 0; passed < ms; passed += TICK_MS) dead = queue.tick() || dead;
    return dead;
  };
  return { queue, givenUp, handedOver, add, take, pass };
}

test("batches are numbered from 1 and handed over when acknowledged", () => {
  const { queue, add, handedOver } = createQueue();
  add("a");
  assert.equal(queue.takeBatch()?.batchNumber, 1n);
  add("b");
  assert.equal(queue.takeBatch()?.batchNumber, 2n);
  queue.acknowledge(2n);
  queue.acknowledge(2n);
  queue.acknowledge(9n);
  assert.deepEqual(handedOver, ["b"]);
  queue.acknowledge(1n);
  assert.deepEqual(handedOver, ["b", "a"]);
  assert.equal(queue.depth, 0);
});

test("a batch ends at 256 deliveries or a MiB", () => {
  const { add, take } = createQueue();
  for (let index = 0; index < 300; index++) add(`d${index}`);
  assert.equal(take()?.length, 256);
  assert.equal(take()?.length, 44);
  for (const name of ["a", "b", "c"]) add(name, { bytes: 0.6 * MIB });
  assert.deepEqual(take(), ["a"]);
  assert.deepEqual(take(), ["b"]);
});

test("only so many batches are on their way", () => {
  const { queue, add, take } = createQueue();
  for (let index = 0; index <= BATCHES_IN_FLIGHT_MAX; index++)
    add(`d${index}`, { bytes: 0.9 * MIB });
  for (let index = 0; index < BATCHES_IN_FLIGHT_MAX; index++) assert.ok(take() !== undefined);
  assert.equal(take(), undefined);
  queue.acknowledge(1n);
  assert.equal(take()?.length, 1);
});

test("after a lost stream, what was on its way goes first again, and typing does not", () => {
  const { queue, add, take, givenUp } = createQueue();
  add("a");
  add("typing", { ephemeral: true });
  take();
  add("b");
  take();
  add("c");
  queue.takeBack();
  assert.equal(givenUp.length, 1);
  const batch = queue.takeBatch();
  assert.equal(batch?.batchNumber, 1n);
  assert.deepEqual(
    batch?.deliveries.map(({ userIds }) => userIds[0]),
    ["a", "b", "c"],
  );
});

test("nobody waits longer than a second, and after five it is given up", () => {
  const { queue, add, take, handedOver, givenUp, pass } = createQueue();
  add("sent");
  take();
  add("waiting");
  assert.equal(pass(HANDOVER_WAIT_MS - TICK_MS), false);
  assert.deepEqual(handedOver, []);
  pass(TICK_MS);
  assert.deepEqual(handedOver, ["sent", "waiting"]);
  assert.equal(queue.depth, 2);
  assert.equal(pass(GIVE_UP_MS - HANDOVER_WAIT_MS - TICK_MS), false);
  assert.equal(givenUp.length, 0);
  assert.equal(pass(TICK_MS), true);
  assert.equal(givenUp.length, 2);
  assert.equal(queue.depth, 0);
  assert.deepEqual(handedOver, ["sent", "waiting"], "each once");
});

test("the queue is bounded in deliveries and in bytes", () => {
  const many = createQueue();
  for (let index = 0; index < QUEUE_DELIVERIES_MAX; index++) assert.ok(many.add("d"));
  assert.equal(many.add("d"), false);
  const large = createQueue();
  assert.ok(large.add("a", { bytes: 60 * MIB }));
  assert.equal(large.add("b", { bytes: 5 * MIB }), false);
  const one = createQueue();
  assert.ok(one.add("a", { bytes: 100 * MIB }), "one goes alone");
});

test("the next batch names whom something durable was given up for, once it was acknowledged never again", () => {
  const { queue, add, pass } = createQueue();
  add("late");
  add("typing", { ephemeral: true });
  pass(GIVE_UP_MS);
  assert.equal(queue.depth, 0);
  assert.ok(queue.waiting, "also when there is nothing else to tell");
  const notice = queue.takeBatch();
  assert.deepEqual(notice, {
    batchNumber: 1n,
    deliveries: [],
    missed: { userIds: ["late"], everybody: false },
  });
  assert.equal(queue.takeBatch(), undefined);
  assert.deepEqual(queue.missedUserIds, ["late"], "it is not known to have arrived");
  queue.acknowledge(1n);
  assert.deepEqual(queue.missedUserIds, []);
  add("next");
  assert.equal(queue.takeBatch()?.missed, undefined);
});

test("what was told and not acknowledged is told again, in front", () => {
  const { queue, add, take, pass } = createQueue();
  add("a");
  take();
  assert.equal(pass(GIVE_UP_MS), true);
  assert.equal(queue.takeBatch()?.missed?.userIds[0], "a");
  queue.takeBack();
  add("b");
  const again = queue.takeBatch();
  assert.deepEqual(again?.missed?.userIds, ["a"]);
  assert.equal(again?.deliveries.length, 1);
  assert.equal(pass(GIVE_UP_MS), true, "it ages like any other");
  assert.deepEqual(queue.takeBatch()?.missed?.userIds.toSorted(), ["a", "b"]);
  assert.equal(pass(GIVE_UP_MS), true, "also with nothing in it");
  assert.deepEqual(queue.missedUserIds.toSorted(), ["a", "b"]);
});

test("who finds no room is named, and above a thousand people it is everybody", () => {
  const { queue, add } = createQueue();
  assert.ok(add("a", { bytes: 60 * MIB }));
  assert.equal(add("b", { bytes: 5 * MIB }), false);
  assert.deepEqual(queue.takeBatch()?.missed, { userIds: ["b"], everybody: false });
  queue.takeBack();
  for (let at = 1; at < MISSED_PEOPLE_MAX; at++) add(`u${at}`, { bytes: 5 * MIB });
  add("b", { bytes: 5 * MIB });
  assert.equal(queue.takeBatch()?.missed?.everybody, false);
  queue.takeBack();
  add("one more", { bytes: 5 * MIB });
  assert.equal(queue.takeBatch()?.missed?.everybody, true);
  assert.equal(queue.missedUserIds.length, MISSED_PEOPLE_MAX);
  queue.acknowledge(1n);
  assert.equal(queue.missedUserIds.length, 0);
});

test("clearing gives up everything", () => {
  const { queue, add, take, givenUp, handedOver } = createQueue();
  add("a");
  take();
  add("b");
  queue.clear();
  assert.equal(givenUp.length, 2);
  assert.deepEqual(handedOver, ["a", "b"]);
  assert.equal(queue.depth, 0);
  assert.deepEqual(queue.missedUserIds.toSorted(), ["a", "b"]);
});

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

test("clearing gives up everything", () => {
  const { queue, add, take, givenUp, handedOver } = createQueue();
  add("a");
  take();
  add("b");
  queue.clear();
  assert.equal(givenUp.length, 2);
  assert.deepEqual(handedOver, ["a", "b"]);
  assert.equal(queue.depth, 0);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createAsyncQueue } from "./queue.ts";

async function drain<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

test("items come out in order, then the end", async () => {
  const queue = createAsyncQueue<number>({ max: 10 });
  for (const item of [1, 2, 3]) assert.equal(queue.push(item), true);
  queue.close();
  assert.equal(queue.push(4), false);
  assert.deepEqual(await drain(queue), [1, 2, 3]);
});

test("a full queue takes no more, and takes again after a read", async () => {
  const queue = createAsyncQueue<number>({ max: 2 });
  assert.deepEqual([queue.push(1), queue.push(2), queue.push(3)], [true, true, false]);
  assert.equal(queue.size, 2);
  const reader = queue[Symbol.asyncIterator]();
  assert.equal((await reader.next()).value, 1);
  assert.equal(queue.push(4), true);
});

test("put waits for room, in order, and is false when the queue closes", async () => {
  const queue = createAsyncQueue<number>({ max: 1 });
  const reader = queue[Symbol.asyncIterator]();
  queue.push(1);
  const second = queue.put(2);
  const third = queue.put(3);
  assert.equal((await reader.next()).value, 1);
  assert.equal(await second, true);
  assert.equal((await reader.next()).value, 2);
  assert.equal(await third, true);
  const fourth = queue.put(4);
  queue.close();
  assert.equal(await fourth, false);
  assert.equal((await reader.next()).value, 3);
  assert.equal((await reader.next()).done, true);
});

test("a waiting reader gets the next item, the end, or the error", async () => {
  const queue = createAsyncQueue<number>({ max: 1 });
  const reader = queue[Symbol.asyncIterator]();
  const waiting = reader.next();
  queue.push(7);
  assert.deepEqual(await waiting, { done: false, value: 7 });
  const failing = assert.rejects(reader.next(), /broken/);
  queue.close(new Error("broken"));
  await failing;
  assert.equal((await reader.next()).done, true);
});

test("an error comes after the items that were there, once", async () => {
  const queue = createAsyncQueue<number>({ max: 5 });
  queue.push(1);
  queue.close(new Error("broken"));
  const reader = queue[Symbol.asyncIterator]();
  assert.equal((await reader.next()).value, 1);
  await assert.rejects(reader.next(), /broken/);
  assert.equal((await reader.next()).done, true);
});

test("clear drops what is there", async () => {
  const queue = createAsyncQueue<number>({ max: 5 });
  queue.push(1);
  queue.clear();
  assert.deepEqual(await drain(queue), []);
});

test("leaving the loop closes the queue", async () => {
  const queue = createAsyncQueue<number>({ max: 5 });
  queue.push(1);
  for await (const _ of queue) break;
  assert.equal(queue.closed, true);
  assert.equal(queue.push(2), false);
});

test("takeAll empties it up to a number, and makes room", async () => {
  const queue = createAsyncQueue<number>({ max: 3 });
  for (const item of [1, 2, 3]) queue.push(item);
  const waiting = queue.put(4);
  assert.deepEqual(queue.takeAll(2), [1, 2]);
  assert.equal(await waiting, true);
  assert.deepEqual(queue.takeAll(), [3, 4]);
});

test("any mixture of pushes and reads is a first-in-first-out queue within its bound", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.boolean(), { maxLength: 400 }),
      fc.integer({ min: 1, max: 80 }),
      async (pushes, max) => {
        const queue = createAsyncQueue<number>({ max });
        const reader = queue[Symbol.asyncIterator]();
        const model: number[] = [];
        for (const [item, push] of pushes.entries()) {
          if (push) {
            assert.equal(queue.push(item), model.length < max);
            if (model.length < max) model.push(item);
          } else if (model.length > 0) {
            assert.equal((await reader.next()).value, model.shift());
          }
          assert.equal(queue.size, model.length);
        }
      },
    ),
  );
});

test("a queue without room makes no sense", () => {
  assert.throws(() => createAsyncQueue({ max: 0 }), RangeError);
});

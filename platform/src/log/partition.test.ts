import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { murmur2, partitionOf } from "./partition.ts";

/** From org.apache.kafka.common.utils.UtilsTest.testMurmur2. */
const KAFKA_VECTORS: readonly (readonly [string, number])[] = [
  ["21", -973932308],
  ["foobar", -790332482],
  ["a-little-bit-long-string", -985981536],
  ["a-little-bit-longer-string", -1486304829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
  ["abc", 479470107],
  ["", 275646681],
];

test("murmur2 gives Kafka's own test values", () => {
  for (const [key, hash] of KAFKA_VECTORS) {
    assert.equal(murmur2(new TextEncoder().encode(key)), hash, JSON.stringify(key));
  }
});

test("a key's partition is the positive hash modulo the count, as Kafka's partitioner computes it", () => {
  for (const [key, hash] of KAFKA_VECTORS) {
    for (const count of [1, 2, 3, 64, 1024]) {
      assert.equal(partitionOf(key, count), (hash & 0x7fffffff) % count, `${key} of ${count}`);
    }
  }
});

test("the fast way for ASCII and the way over UTF-8 bytes agree for every string", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.string(), fc.uuid()), (key) => {
      const hash = murmur2(new TextEncoder().encode(key));
      assert.equal(partitionOf(key, 97), (hash & 0x7fffffff) % 97);
    }),
    { numRuns: 2_000 },
  );
});

test("UUIDs spread evenly over the partitions", () => {
  const counts = new Array<number>(16).fill(0);
  const keys = 16_000;
  for (let i = 0; i < keys; i++) {
    const partition = partitionOf(randomUUID(), counts.length);
    counts[partition] = (counts[partition] ?? 0) + 1;
  }
  // Expected 1000 each with a standard deviation of 31: 200 is more than six of them.
  for (const count of counts) assert.ok(Math.abs(count - 1000) < 200, counts.join(" "));
});

test("a count that is no positive integer is a RangeError", () => {
  for (const count of [0, -1, 1.5, Number.NaN]) {
    assert.throws(() => partitionOf("key", count), RangeError);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createExpiryWheel, type Expiring } from "./expiry-wheel.ts";

type Item = Expiring & { readonly name: string };
const itemAt = (deadlineMs: number, name = "item"): Item => ({ deadlineMs, name, wheelSlot: -1 });
const create = () => createExpiryWheel<Item>({ widthMs: 1000, horizonMs: 30_000 });

function sweep(wheel: ReturnType<typeof create>, nowMs: number): string[] {
  const expired: string[] = [];
  wheel.sweep(nowMs, ({ name }) => expired.push(name));
  return expired;
}

test("an item expires in the first sweep at or after its deadline", () => {
  const wheel = create();
  wheel.add(itemAt(30_500));
  assert.deepEqual(sweep(wheel, 30_499), []);
  assert.deepEqual(sweep(wheel, 30_500), ["item"]);
  assert.equal(wheel.size, 0);
});

test("a renewed item does not expire, and needs no call", () => {
  const wheel = create();
  const item = itemAt(1000);
  wheel.add(item);
  item.deadlineMs = 20_000;
  assert.deepEqual(sweep(wheel, 19_999), []);
  assert.deepEqual(sweep(wheel, 20_000), ["item"]);
});

test("an item that was taken out never expires, also from within a report", () => {
  const wheel = create();
  const other = itemAt(1000, "other");
  wheel.add(itemAt(1000, "first"));
  wheel.add(other);
  const expired: string[] = [];
  wheel.sweep(5000, ({ name }) => {
    expired.push(name);
    wheel.remove(other);
    wheel.remove(other);
  });
  assert.deepEqual(expired, ["first"]);
  assert.equal(wheel.size, 0);
});

test("a pause longer than the wheel, and deadlines beyond its horizon", () => {
  const wheel = create();
  wheel.add(itemAt(90_000, "far"));
  wheel.add(itemAt(2000, "near"));
  assert.deepEqual(sweep(wheel, 80_000), ["near"]);
  assert.deepEqual(sweep(wheel, 200_000), ["far"]);
});

test("whatever is added, renewed and removed expires in time and once", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("add" as const), inMs: fc.integer({ min: 0, max: 40_000 }) }),
    fc.record({ kind: fc.constant("renew" as const), inMs: fc.integer({ min: 0, max: 40_000 }) }),
    fc.record({ kind: fc.constant("remove" as const), inMs: fc.constant(0) }),
    fc.record({ kind: fc.constant("pass" as const), inMs: fc.integer({ min: 0, max: 50_000 }) }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.nat()), { maxLength: 100 }), (steps) => {
      const wheel = create();
      const items: Item[] = [];
      let nowMs = 0;
      for (const [{ kind, inMs }, random] of steps) {
        const item = items[random % Math.max(1, items.length)];
        if (kind === "add") {
          const added = itemAt(nowMs + inMs, String(items.length));
          items.push(added);
          wheel.add(added);
        } else if (kind === "renew" && item !== undefined) {
          item.deadlineMs = Math.max(item.deadlineMs, nowMs + inMs);
        } else if (kind === "remove" && item !== undefined) {
          wheel.remove(item);
          items.splice(items.indexOf(item), 1);
        } else if (kind === "pass") {
          nowMs += inMs;
          const due = items.filter(({ deadlineMs }) => deadlineMs <= nowMs);
          const names = due.map(({ name }) => name).toSorted();
          assert.deepEqual(sweep(wheel, nowMs).toSorted(), names);
          for (const one of due) items.splice(items.indexOf(one), 1);
        }
        assert.equal(wheel.size, items.length);
      }
    }),
    { numRuns: 500 },
  );
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createRequestSlots, RequestSlotsError } from "./request-slots.ts";

describe("request slots", () => {
  it("run so many at once, the others in their order, and refuse what is too much", async () => {
    const slots = createRequestSlots({ slotsMax: 2, waitersMax: 2 });
    const begun: number[] = [];
    const gates = [0, 1, 2, 3].map(() => Promise.withResolvers<number>());
    const runs = gates.map((gate, at) =>
      slots.run(() => {
        begun.push(at);
        return gate.promise;
      }),
    );
    await assert.rejects(
      slots.run(async () => begun.push(99)),
      RequestSlotsError,
    );
    assert.deepEqual(begun, [0, 1]);
    gates[1]?.resolve(1);
    assert.equal(await runs[1], 1);
    assert.deepEqual(begun, [0, 1, 2]);
    gates[0]?.reject(new Error("failed"));
    await assert.rejects(runs[0] as Promise<number>, /failed/);
    assert.deepEqual(begun, [0, 1, 2, 3], "a failure gives its slot back");
    gates[2]?.resolve(2);
    gates[3]?.resolve(3);
    await Promise.all([runs[2], runs[3]]);
  });

  it("never run more than there are, and lose none", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 60 }),
        async (slotsMax, turnsOf) => {
          const slots = createRequestSlots({ slotsMax, waitersMax: 1000 });
          let running = 0;
          let most = 0;
          const done = await Promise.all(
            turnsOf.map((turns, at) =>
              slots.run(async () => {
                most = Math.max(most, ++running);
                for (let turn = 0; turn < turns; turn++) await Promise.resolve();
                running--;
                return at;
              }),
            ),
          );
          assert.deepEqual(done, [...turnsOf.keys()]);
          assert.ok(most <= slotsMax, `${most} ran at once`);
        },
      ),
    );
  });
});

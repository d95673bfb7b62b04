import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { RecordingOutlet } from "../testing/recording-outlet.ts";
import { Session } from "./session.ts";
import { SessionTable } from "./session-table.ts";

function session(id: string, userId: string, deviceId: string): Session {
  const caller = { kind: "device" as const, userId, deviceId, expireTimeMs: 0 };
  const outlet = new RecordingOutlet();
  return new Session({ id, caller, outlet, json: false, takesSubmit: false, nowMs: 0 });
}

describe("SessionTable", () => {
  it("finds exactly the sessions that are there, oldest first", () => {
    const step = fc.record({
      add: fc.boolean(),
      user: fc.nat(3),
      device: fc.nat(2),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const table = new SessionTable();
        let model: Session[] = [];
        for (const [index, { add, user, device, pick }] of steps.entries()) {
          if (add || model.length === 0) {
            const added = session(`s${index}`, `u${user}`, `d${user}${device}`);
            table.add(added);
            model.push(added);
          } else {
            const removed = model[pick % model.length] as Session;
            assert.equal(table.remove(removed), true);
            assert.equal(table.remove(removed), false);
            model = model.filter((one) => one !== removed);
          }
          for (let number = 0; number <= 3; number++) {
            const found: Session[] = [];
            let next = table.firstOf(`u${number}`);
            for (; next !== undefined; next = next.nextOfUser) found.push(next);
            assert.deepEqual(
              found,
              model.filter(({ userId }) => userId === `u${number}`),
            );
          }
          assert.equal(table.size, model.length);
        }
        const [some] = model;
        if (some === undefined) return;
        assert.equal(table.get(some.id), some);
        assert.deepEqual(
          table.ofDevice(some.userId, some.deviceId),
          model.filter(({ deviceId }) => deviceId === some.deviceId),
        );
      }),
    );
  });
});

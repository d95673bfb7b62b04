/** Random heartbeats, removals, gaps and losses through two instances end as a simple model says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OFFLINE_AFTER_MS } from "../domain/presence-rules.ts";
import { openInstances, session } from "./testing/test-instances.ts";

const SESSIONS = 6;
const RUNS = 20;

const anyStep = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("heartbeat" as const),
      instance: fc.nat({ max: 1 }),
      gateway: fc.nat({ max: 2 }),
      // Which of the sessions it carries, as bits.
      sessions: fc.nat({ max: 2 ** SESSIONS - 1 }),
      ageMs: fc.integer({ min: 0, max: 35_000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("remove" as const),
      instance: fc.nat({ max: 1 }),
      gateway: fc.nat({ max: 2 }),
      sessions: fc.option(fc.nat({ max: 2 ** SESSIONS - 1 })),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      sweeps: fc.integer({ min: 1, max: 9 }),
    }),
  },
);

const userOf = (run: number, index: number) => `u${run} ${index % 3}`;
const chosen = (bits: number) =>
  Array.from({ length: SESSIONS }, (_, index) => index).filter((index) => bits & (1 << index));

type Modeled = { gateway: string; heardMs: number };

test("two instances end as a simple model says, whoever is asked and told", async () => {
  await using rig = await openInstances();
  const { clock, instances } = rig;
  const forget = (model: Map<number, Modeled>) => {
    for (const [index, { heardMs }] of [...model]) {
      if (clock.nowMs() - heardMs >= OFFLINE_AFTER_MS) model.delete(index);
    }
  };
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 30 }), async (steps) => {
      run++;
      const everybody = [0, 1, 2].map((index) => userOf(run, index));
      const sessionId = (index: number) => `s${run} ${index}`;
      const gatewayId = (gateway: number) => `g${run} ${gateway}`;
      const model = new Map<number, Modeled>();
      const told = instances.map(() => new Map<string, string>());
      using watches = new DisposableStack();
      for (const [at, { registry }] of instances.entries()) {
        const watching = watches.use(
          registry.watch(({ userId, status }) => {
            assert.notEqual(told[at]?.get(userId), status, `${userId} was told ${status} twice`);
            told[at]?.set(userId, status);
          }),
        );
        await watching.add(everybody);
      }
      for (const step of steps) {
        if (step.kind === "heartbeat") {
          const live = chosen(step.sessions).filter(() => step.ageMs < OFFLINE_AFTER_MS);
          const expectedNew = live.filter((index) => !model.has(index)).map(sessionId);
          for (const index of live) {
            const heardMs = clock.nowMs() - step.ageMs;
            const known = model.get(index);
            const gateway = gatewayId(step.gateway);
            const stays = known?.gateway === gateway;
            model.set(index, {
              gateway,
              heardMs: stays ? Math.max(known.heardMs, heardMs) : heardMs,
            });
          }
          const sessions = chosen(step.sessions).map((index) =>
            session(sessionId(index), userOf(run, index), step.ageMs),
          );
          const gateway = { gatewayId: gatewayId(step.gateway), gatewayAddress: "" };
          const recorded = await instances[step.instance]?.registry.record(gateway, sessions);
          assert.deepEqual(recorded?.newSessionIds, expectedNew);
        } else if (step.kind === "remove") {
          const indexes = step.sessions === null ? [...model.keys()] : chosen(step.sessions);
          const ids = step.sessions === null ? "all" : indexes.map(sessionId);
          await instances[step.instance]?.registry.remove(gatewayId(step.gateway), ids);
          for (const index of indexes) {
            if (model.get(index)?.gateway === gatewayId(step.gateway)) model.delete(index);
          }
        } else {
          await rig.pass(step.sweeps * 1000);
        }
        forget(model);
        await Promise.all(instances.map(({ registry }) => registry.sweep()));
        const online = new Set([...model.keys()].map((index) => userOf(run, index)));
        for (const [at, { registry }] of instances.entries()) {
          const gateways = await registry.lookUp(everybody);
          const found = new Set(gateways.flatMap(({ userIds }) => userIds));
          assert.deepEqual([...found].sort(), [...online].sort());
          assert.equal(registry.figures().sessions, model.size);
          for (const userId of everybody) {
            const expected = online.has(userId) ? "online" : "offline";
            // The other instance's notice may be on its way.
            while (told[at]?.get(userId) !== expected) await registry.read([userId]);
          }
        }
      }
      await rig.pass(OFFLINE_AFTER_MS);
      for (const { registry } of instances) assert.equal(registry.figures().sessions, 0);
    }),
    { numRuns: RUNS },
  );
});

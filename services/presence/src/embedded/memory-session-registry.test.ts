import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createManualClock } from "@parley/platform/clock";
import fc from "fast-check";
import { OFFLINE_AFTER_MS, SWEEP_INTERVAL_MS } from "../domain/presence-rules.ts";
import {
  type RegistryFixture,
  type RegistryFixtureOptions,
  runSessionRegistryContract,
} from "../ports.contract.ts";
import { createLmdbLastSeenStore } from "./lmdb-last-seen-store.ts";
import { createMemorySessionRegistry } from "./memory-session-registry.ts";

async function createFixture({
  sessionsMax = 1_000_000,
  lostSessions = false,
}: RegistryFixtureOptions = {}): Promise<RegistryFixture> {
  const directory = await mkdtemp(join(tmpdir(), "parley-presence-"));
  const clock = createManualClock();
  const lastSeen = createLmdbLastSeenStore({ directory, clock });
  const registry = createMemorySessionRegistry({ clock, lastSeen, sessionsMax, lostSessions });
  return {
    registry,
    clock,
    lastSeen,
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      await lastSeen[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

runSessionRegistryContract("memory", createFixture);

test("ending the registry records when everybody online was last heard from", async () => {
  await using fixture = await createFixture();
  const { registry, lastSeen, clock } = fixture;
  const one = { sessionId: "s1", userId: "ann", deviceId: "d", ageMs: 0 };
  await registry.record({ gatewayId: "west", gatewayAddress: "" }, [one]);
  await registry[Symbol.asyncDispose]();
  assert.deepEqual(await lastSeen.read(["ann"]), [clock.nowMs()]);
});

const SESSIONS = 6;
const anyStep = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("heartbeat" as const),
      gateway: fc.nat({ max: 2 }),
      // Which of the sessions the heartbeat carries, as bits.
      sessions: fc.nat({ max: 2 ** SESSIONS - 1 }),
      ageMs: fc.integer({ min: 0, max: 35_000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("remove" as const),
      gateway: fc.nat({ max: 2 }),
      sessions: fc.nat({ max: 2 ** SESSIONS - 1 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("lost" as const), gateway: fc.nat({ max: 2 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      sweeps: fc.integer({ min: 1, max: 12 }),
    }),
  },
);

/** A person has two sessions: `s0` and `s3` are u0's. */
const userOf = (index: number) => `u${index % 3}`;
const chosen = (bits: number) =>
  Array.from({ length: SESSIONS }, (_, index) => index).filter((index) => bits & (1 << index));

/** What a session is, in the simplest words: where it is, and when it was last heard from. */
type Modeled = { gateway: string; heardMs: number };

function onlineIn(model: ReadonlyMap<number, Modeled>, nowMs: number): Set<string> {
  const live = [...model].filter(([, { heardMs }]) => nowMs - heardMs < OFFLINE_AFTER_MS);
  return new Set(live.map(([index]) => userOf(index)));
}

/** Takes out of the model what is over. */
function forget(model: Map<number, Modeled>, nowMs: number): void {
  for (const [index, { heardMs }] of [...model]) {
    if (nowMs - heardMs >= OFFLINE_AFTER_MS) model.delete(index);
  }
}

test("random heartbeats, gaps, removals and lost gateways end as a simple model says", async () => {
  await using fixture = await createFixture();
  const { registry, clock } = fixture;
  const everybody = [0, 1, 2].map(userOf);
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 60 }), async (steps) => {
      const run = runs++;
      const model = new Map<number, Modeled>();
      const told = new Map<string, string>();
      const generations = [0, 0, 0];
      const gatewayId = (gateway: number) => `g${run} ${gateway} ${generations[gateway]}`;
      const sessionId = (index: number) => `s${run} ${index}`;
      using watching = registry.watch(({ userId, status }) => {
        assert.notEqual(told.get(userId), status, `${userId} was told ${status} twice`);
        told.set(userId, status);
      });
      await watching.add(everybody);
      for (const step of steps) {
        if (step.kind === "heartbeat") {
          const expectedNew: string[] = [];
          for (const index of chosen(step.sessions)) {
            const heardMs = clock.nowMs() - step.ageMs;
            const known = model.get(index);
            if (step.ageMs >= OFFLINE_AFTER_MS) continue;
            if (known === undefined) expectedNew.push(sessionId(index));
            const moved = known !== undefined && known.gateway !== gatewayId(step.gateway);
            const newest =
              known === undefined || moved ? heardMs : Math.max(known.heardMs, heardMs);
            model.set(index, { gateway: gatewayId(step.gateway), heardMs: newest });
          }
          const gateway = { gatewayId: gatewayId(step.gateway), gatewayAddress: "" };
          const sessions = chosen(step.sessions).map((index) => ({
            ...{ sessionId: sessionId(index), userId: userOf(index), deviceId: "d" },
            ageMs: step.ageMs,
          }));
          const { newSessionIds } = await registry.record(gateway, sessions);
          assert.deepEqual(newSessionIds, expectedNew);
        } else if (step.kind === "remove") {
          const ids = chosen(step.sessions).map(sessionId);
          if (ids.length === 0) continue;
          await registry.remove(gatewayId(step.gateway), ids);
          for (const index of chosen(step.sessions)) {
            if (model.get(index)?.gateway === gatewayId(step.gateway)) model.delete(index);
          }
        } else if (step.kind === "lost") {
          // Nobody removes its sessions: its silence is all that is noticed. It comes back as another.
          generations[step.gateway] = (generations[step.gateway] ?? 0) + 1;
        } else {
          for (let sweep = 0; sweep < step.sweeps; sweep++) {
            clock.advance(SWEEP_INTERVAL_MS);
            await registry.sweep();
          }
        }
        forget(model, clock.nowMs());
        await registry.sweep();
        const online = onlineIn(model, clock.nowMs());
        for (const userId of everybody) {
          assert.equal(told.get(userId), online.has(userId) ? "online" : "offline");
        }
        const found = new Set((await registry.lookUp(everybody)).flatMap(({ userIds }) => userIds));
        assert.deepEqual([...found].toSorted(), [...online].toSorted());
        assert.equal(registry.figures().sessions, model.size);
      }
      clock.advance(OFFLINE_AFTER_MS);
      await registry.sweep();
      assert.equal(registry.figures().sessions, 0);
    }),
    { numRuns: 200 },
  );
});

/** What every session registry and every last-seen store does; run by each adapter. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ManualClock } from "@parley/platform/clock";
import { OFFLINE_AFTER_MS, SWEEP_INTERVAL_MS } from "./domain/presence-rules.ts";
import type { LastSeenStore, SessionRegistration, SessionRegistry } from "./ports.ts";

export type RegistryFixture = AsyncDisposable & {
  readonly registry: SessionRegistry;
  readonly clock: ManualClock;
  readonly lastSeen: LastSeenStore;
};

export type RegistryFixtureOptions = {
  readonly sessionsMax?: number;
  readonly lostSessions?: boolean;
};

const WEST = { gatewayId: "west", gatewayAddress: "west:1" };
const EAST = { gatewayId: "east", gatewayAddress: "east:1" };

function session(sessionId: string, userId: string, ageMs = 0): SessionRegistration {
  return { sessionId, userId, deviceId: `device of ${sessionId}`, ageMs };
}

/** Lets time pass as a process does it: sweep by sweep. */
async function pass({ registry, clock }: RegistryFixture, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += SWEEP_INTERVAL_MS) {
    clock.advance(Math.min(SWEEP_INTERVAL_MS, ms - passed));
    await registry.sweep();
  }
}

async function watch({ registry }: RegistryFixture, ...userIds: readonly string[]) {
  const states: string[] = [];
  const watching = registry.watch(({ userId, status }) => states.push(`${userId} ${status}`));
  await watching.add(userIds);
  return { states, watching };
}

async function lookUp({ registry }: RegistryFixture, ...userIds: readonly string[]) {
  const found = await registry.lookUp(userIds);
  return found.map(({ gatewayId, userIds: people }) => `${gatewayId}: ${people.join()}`).toSorted();
}

export function runSessionRegistryContract(
  name: string,
  create: (options?: RegistryFixtureOptions) => Promise<RegistryFixture>,
): void {
  describe(`the session registry in ${name}`, () => {
    it("names the sessions that it had not known, once", async () => {
      await using fixture = await create();
      const { registry } = fixture;
      const sessions = [session("s1", "ann"), session("s2", "bob")];
      const first = await registry.record(WEST, sessions);
      assert.deepEqual(first.newSessionIds, ["s1", "s2"]);
      const second = await registry.record(WEST, [...sessions, session("s3", "ann")]);
      assert.deepEqual(second.newSessionIds, ["s3"]);
    });

    it("finds people by gateway, each once", async () => {
      await using fixture = await create();
      const { registry } = fixture;
      await registry.record(WEST, [session("s1", "ann"), session("s2", "ann")]);
      await registry.record(EAST, [session("s3", "ann"), session("s4", "bob")]);
      await registry.record(WEST, [session("s5", "ann")]);
      assert.deepEqual(await lookUp(fixture, "ann", "bob", "cid"), ["east: ann,bob", "west: ann"]);
      assert.deepEqual(await lookUp(fixture, "cid"), []);
      const [one] = await registry.lookUp(["bob"]);
      assert.deepEqual(one, { ...EAST, userIds: ["bob"] });
    });

    it("takes a session out after 30 s of silence, and not before", async () => {
      await using fixture = await create();
      await fixture.registry.record(WEST, [session("s1", "ann")]);
      await pass(fixture, OFFLINE_AFTER_MS - 1);
      assert.deepEqual(await lookUp(fixture, "ann"), ["west: ann"]);
      await pass(fixture, 1);
      assert.deepEqual(await lookUp(fixture, "ann"), []);
    });

    it("counts the age that a heartbeat carries: half-open sockets go offline", async () => {
      await using fixture = await create();
      const { registry } = fixture;
      for (let age = 0; age < OFFLINE_AFTER_MS; age += 5000) {
        assert.deepEqual(await lookUp(fixture, "ann"), age === 0 ? [] : ["west: ann"]);
        await registry.record(WEST, [session("s1", "ann", age)]);
        await pass(fixture, 5000);
      }
      assert.deepEqual(await lookUp(fixture, "ann"), []);
      const late = await registry.record(WEST, [session("s1", "ann", OFFLINE_AFTER_MS)]);
      assert.deepEqual(late.newSessionIds, [], "it is still silent");
      const back = await registry.record(WEST, [session("s1", "ann", 0)]);
      assert.deepEqual(back.newSessionIds, ["s1"], "it missed events");
    });

    it("never hears less than it has heard", async () => {
      await using fixture = await create();
      await fixture.registry.record(WEST, [session("s1", "ann", 0)]);
      await fixture.registry.record(WEST, [session("s1", "ann", 29_000)]);
      await pass(fixture, 20_000);
      assert.deepEqual(await lookUp(fixture, "ann"), ["west: ann"]);
    });

    it("removes sessions of the gateway that says so, and no others", async () => {
      await using fixture = await create();
      const { registry } = fixture;
      await registry.record(WEST, [session("s1", "ann"), session("s2", "bob")]);
      await registry.record(EAST, [session("s3", "ann")]);
      await registry.remove("west", ["s3", "unknown", "s1"]);
      await registry.remove("north", "all");
      assert.deepEqual(await lookUp(fixture, "ann", "bob"), ["east: ann", "west: bob"]);
      await registry.remove("west", "all");
      await registry.remove("west", "all");
      assert.deepEqual(await lookUp(fixture, "ann", "bob"), ["east: ann"]);
    });

    it("moves a session that another gateway claims, without anybody going offline", async () => {
      await using fixture = await create();
      const { registry } = fixture;
      await registry.record(WEST, [session("s1", "ann")]);
      const { states } = await watch(fixture, "ann");
      const moved = await registry.record(EAST, [session("s1", "ann")]);
      assert.deepEqual(moved.newSessionIds, []);
      assert.deepEqual(await lookUp(fixture, "ann"), ["east: ann"]);
      assert.deepEqual(states, ["ann online"]);
    });

    it("reports coming and going once, however many sessions", async () => {
      await using fixture = await create();
      const { registry } = fixture;
      const { states } = await watch(fixture, "ann", "bob");
      assert.deepEqual(states.splice(0), ["ann offline", "bob offline"]);
      await registry.record(WEST, [session("s1", "ann"), session("s2", "ann")]);
      await registry.record(EAST, [session("s3", "ann")]);
      assert.deepEqual(states.splice(0), ["ann online"]);
      await registry.remove("west", "all");
      assert.deepEqual(states, []);
      await pass(fixture, OFFLINE_AFTER_MS);
      assert.deepEqual(states, ["ann offline"]);
    });

    it("reports nothing of people who are not watched any more", async () => {
      await using fixture = await create();
      const { registry } = fixture;
      const first = await watch(fixture, "ann", "bob");
      const second = await watch(fixture, "ann");
      first.watching.remove(["ann", "cid"]);
      assert.equal(first.watching.size, 1);
      assert.equal(registry.figures().watchedUsers, 2);
      await registry.record(WEST, [session("s1", "ann"), session("s2", "bob")]);
      assert.deepEqual(first.states.slice(2), ["bob online"]);
      assert.deepEqual(second.states.slice(1), ["ann online"]);
      first.watching[Symbol.dispose]();
      second.watching[Symbol.dispose]();
      assert.equal(registry.figures().watchedUsers, 0);
      await registry.remove("west", "all");
      assert.equal(first.states.length + second.states.length, 5);
    });

    it("tells the present state again to who adds somebody again", async () => {
      await using fixture = await create();
      await fixture.registry.record(WEST, [session("s1", "ann")]);
      const { states, watching } = await watch(fixture, "ann");
      await watching.add(["ann"]);
      assert.deepEqual(states, ["ann online", "ann online"]);
      assert.equal(watching.size, 1);
    });

    it("knows when people were last heard from", async () => {
      await using fixture = await create();
      const { registry, clock, lastSeen } = fixture;
      await registry.record(WEST, [session("s1", "ann", 2000)]);
      const heardMs = clock.nowMs() - 2000;
      const [online] = await registry.read(["ann"]);
      assert.deepEqual(online, { userId: "ann", status: "online", lastSeenTimeMs: undefined });
      await pass(fixture, OFFLINE_AFTER_MS);
      const states = await registry.read(["ann", "bob"]);
      assert.deepEqual(states, [
        { userId: "ann", status: "offline", lastSeenTimeMs: heardMs },
        { userId: "bob", status: "offline", lastSeenTimeMs: undefined },
      ]);
      assert.deepEqual(await lastSeen.read(["ann"]), [heardMs]);
    });

    it("records people who stay online every minute", async () => {
      await using fixture = await create();
      const { registry, clock, lastSeen } = fixture;
      const sessions = ["ann", "bob", "cid"].map((userId) => session(`s ${userId}`, userId));
      for (let minute = 0; minute < 3; minute++) {
        for (let passed = 0; passed < 60_000; passed += 5000) {
          await registry.record(WEST, sessions);
          await pass(fixture, 5000);
        }
        for (const timeMs of await lastSeen.read(["ann", "bob", "cid"])) {
          assert.ok(timeMs !== undefined && clock.nowMs() - timeMs <= 66_000);
        }
      }
    });

    it("after a loss calls nobody offline for 30 s, and then who has not come back", async () => {
      await using fixture = await create({ lostSessions: true });
      const { registry } = fixture;
      const { states } = await watch(fixture, "ann", "bob", "cid");
      assert.deepEqual(states.splice(0), ["ann unknown", "bob unknown", "cid unknown"]);
      await registry.record(WEST, [session("s1", "ann"), session("s2", "cid")]);
      // In order per person only.
      assert.deepEqual(states.splice(0).toSorted(), ["ann online", "cid online"]);
      await registry.remove("west", ["s2"]);
      assert.deepEqual(states.splice(0), ["cid offline"], "this one is known to have gone");
      await pass(fixture, OFFLINE_AFTER_MS - 1000);
      await registry.record(WEST, [session("s1", "ann")]);
      assert.deepEqual(states, []);
      await pass(fixture, 1000);
      assert.deepEqual(states, ["bob offline"]);
      const after = await registry.read(["bob", "ann", "cid"]);
      assert.deepEqual(
        after.map(({ status }) => status),
        ["offline", "online", "offline"],
      );
    });

    it("goes on when the clock is set back", async () => {
      await using fixture = await create();
      await fixture.registry.record(WEST, [session("s1", "ann")]);
      fixture.clock.set(fixture.clock.nowMs() - 3_600_000);
      await pass(fixture, OFFLINE_AFTER_MS);
      await pass(fixture, SWEEP_INTERVAL_MS);
      assert.deepEqual(await lookUp(fixture, "ann"), []);
    });

    it("takes nobody out because the clock leaps", async () => {
      await using fixture = await create();
      await fixture.registry.record(WEST, [session("s1", "ann")]);
      fixture.clock.set(fixture.clock.nowMs() + 3_600_000);
      await pass(fixture, SWEEP_INTERVAL_MS);
      assert.deepEqual(await lookUp(fixture, "ann"), ["west: ann"]);
    });

    it("is bounded: what does not fit is refused, and what is known stays", async () => {
      await using fixture = await create({ sessionsMax: 2 });
      const { registry } = fixture;
      const three = [session("s1", "ann"), session("s2", "bob"), session("s3", "cid")];
      const result = await registry.record(WEST, three);
      assert.deepEqual(result, { newSessionIds: ["s1", "s2"], refusedCount: 1 });
      await pass(fixture, 20_000);
      assert.equal((await registry.record(WEST, three)).refusedCount, 1);
      await pass(fixture, 20_000);
      assert.deepEqual(await lookUp(fixture, "ann", "bob", "cid"), ["west: ann,bob"]);
      await registry.remove("west", ["s1"]);
      assert.deepEqual((await registry.record(WEST, three.slice(2))).newSessionIds, ["s3"]);
    });

    it("keeps nothing of sessions that are gone", async () => {
      await using fixture = await create();
      const { registry } = fixture;
      for (let round = 0; round < 50; round++) {
        const sessions = [0, 1, 2].map((index) => session(`s${round} ${index}`, `u${round}`));
        await registry.record({ gatewayId: `g${round}`, gatewayAddress: "" }, sessions);
      }
      await pass(fixture, OFFLINE_AFTER_MS);
      const { sessions, onlineUsers, gateways } = registry.figures();
      assert.deepEqual([sessions, onlineUsers, gateways], [0, 0, 0]);
    });
  });
}

export type LastSeenFixture = AsyncDisposable & {
  readonly store: LastSeenStore;
  /** Ends the store and opens it again on the same data. */
  reopen(): Promise<LastSeenStore>;
};

export function runLastSeenStoreContract(
  name: string,
  create: () => Promise<LastSeenFixture>,
): void {
  describe(`the last-seen store on ${name}`, () => {
    it("gives times at once and after a restart", async () => {
      await using fixture = await create();
      const { store } = fixture;
      assert.equal(await store.isEmpty(), true);
      store.record("ann", 1_700_000_000_123);
      store.record("bob", 5);
      assert.deepEqual(await store.read(["bob", "cid", "ann"]), [5, undefined, 1_700_000_000_123]);
      assert.equal(await store.isEmpty(), false);
      const reopened = await fixture.reopen();
      assert.deepEqual(await reopened.read(["bob", "cid", "ann"]), [
        5,
        undefined,
        1_700_000_000_123,
      ]);
      assert.equal(await reopened.isEmpty(), false);
    });

    it("never goes back, also across a restart", async () => {
      await using fixture = await create();
      fixture.store.record("ann", 10);
      fixture.store.record("ann", 7);
      assert.deepEqual(await fixture.store.read(["ann"]), [10]);
      const store = await fixture.reopen();
      store.record("ann", 9);
      assert.deepEqual(await store.read(["ann"]), [10]);
      store.record("ann", 11);
      assert.deepEqual(await store.read(["ann"]), [11]);
    });
  });
}

/** What becomes of presence when Redis is emptied, dies, cannot be reached, stands still or has a wrong clock. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "@parley/platform/async/sleep";
import { reasonOf } from "@parley/platform/errors";
import { startRedis } from "@parley/platform/storage/engine/testing/redis-server";
import { OFFLINE_AFTER_MS } from "../domain/presence-rules.ts";
import {
  found,
  type Instance,
  openInstances,
  session,
  WEST,
  watchStates,
} from "./testing/test-instances.ts";

const SESSIONS = [session("s1", "ann"), session("s2", "bob"), session("s3", "cid")];
const PEOPLE = ["ann", "bob", "cid"];

const isUnavailable = (error: unknown) => reasonOf(error) === "REDIS_UNAVAILABLE";

async function openOnServer() {
  await using opening = new AsyncDisposableStack();
  const server = opening.use(await startRedis());
  const redis = { addresses: [server.address] };
  const rig = opening.use(await openInstances({ redis, lostSessions: true }));
  const owned = opening.move();
  return { ...rig, server, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Until commands and notices come through again. */
async function untilBack(instances: readonly Instance[]): Promise<void> {
  for (const { registry } of instances) {
    for (;;) {
      try {
        await registry.sweep();
        break;
      } catch (error) {
        assert.ok(isUnavailable(error), String(error));
        await sleep(20);
      }
    }
  }
}

async function statuses({ registry }: Instance): Promise<string[]> {
  return (await registry.read(PEOPLE)).map(({ status }) => status);
}

for (const loss of ["emptied", "killed and started again"] as const) {
  test(`Redis ${loss}: nobody is called offline for 30 s, and one heartbeat brings everything back`, async () => {
    await using rig = await openOnServer();
    const { one, two, server } = rig;
    await rig.pass(OFFLINE_AFTER_MS);
    await one.registry.record(WEST, SESSIONS);
    const watched = await watchStates(two, PEOPLE);
    await watched.told(3);
    await rig.pass(5000);

    if (loss === "emptied") {
      await rig.testRedis.redis.flushall();
    } else {
      await server.stop();
      await assert.rejects(one.registry.record(WEST, SESSIONS), isUnavailable);
      await assert.rejects(two.registry.lookUp(PEOPLE), isUnavailable);
      await assert.rejects(two.registry.sweep(), isUnavailable);
      await server.start();
      await untilBack(rig.instances);
    }
    await rig.pass(1000);
    assert.deepEqual(await statuses(two), ["unknown", "unknown", "unknown"]);
    assert.deepEqual(await statuses(one), ["unknown", "unknown", "unknown"]);
    await rig.pass(4000);

    // One tick of the gateway; cid's client is gone.
    const { newSessionIds } = await one.registry.record(WEST, SESSIONS.slice(0, 2));
    assert.deepEqual(newSessionIds, ["s1", "s2"], "the gateway catches them up");
    assert.deepEqual(await found(two, PEOPLE), ["west: ann,bob"]);
    assert.deepEqual(await statuses(two), ["online", "online", "unknown"]);
    for (let passed = 5000; passed < OFFLINE_AFTER_MS - 1000; passed += 1000) {
      await rig.pass(1000);
      await one.registry.record(WEST, SESSIONS.slice(0, 2));
    }
    assert.deepEqual(watched.states, [], "who was online is not announced again, and nobody left");
    await rig.pass(2000);
    assert.deepEqual(await watched.told(1), ["cid offline"]);
    await one.registry.record(WEST, SESSIONS.slice(0, 2));
    await rig.pass(2000);
    assert.deepEqual(watched.states, []);
    assert.deepEqual(await statuses(one), ["online", "online", "offline"]);
    // Notices come through the subscriptions again.
    await one.registry.remove("west", ["s2"]);
    assert.deepEqual(await watched.told(1), ["bob offline"]);
  });
}

test("Redis out of reach for a minute: nobody is taken out before they could be heard again", async () => {
  await using rig = await openInstances();
  const { one, two, clock } = rig;
  await one.registry.record(WEST, SESSIONS);
  await rig.pass(5000);
  const watched = await watchStates(two, PEOPLE);
  await watched.told(3);
  clock.advance(60_000);
  await rig.pass(1000);
  assert.deepEqual(watched.states, []);
  assert.deepEqual(await found(two, PEOPLE), ["west: ann,bob,cid"]);
  const back = await one.registry.record(WEST, SESSIONS.slice(0, 1));
  assert.deepEqual(back.newSessionIds, [], "no look-up missed it");
  await rig.pass(OFFLINE_AFTER_MS - 2000);
  assert.deepEqual(watched.states, []);
  await one.registry.record(WEST, SESSIONS.slice(0, 1));
  await rig.pass(2000);
  assert.deepEqual((await watched.told(2)).sort(), ["bob offline", "cid offline"]);
  await rig.pass(OFFLINE_AFTER_MS);
  assert.deepEqual(await watched.told(1), ["ann offline"]);
});

test("who leaves in the time after a gap is taken out all the same", async () => {
  await using rig = await openInstances();
  const { one, clock } = rig;
  await one.registry.record(WEST, SESSIONS);
  await rig.pass(1000);
  clock.advance(60_000);
  await rig.pass(1000);
  await one.registry.record(WEST, [session("s1", "ann", 29_000), session("s2", "bob")]);
  await rig.pass(1000);
  assert.deepEqual(await found(one, ["ann"]), [], "it was heard after the gap, and is too old");
  await one.registry.remove("west", ["s2"]);
  assert.deepEqual(await found(one, PEOPLE), ["west: cid"]);
});

test("the engine's clock set back by an hour: sessions still end after 30 s, once", async () => {
  await using rig = await openInstances({ lostSessions: true });
  const { one, two, engine } = rig;
  await rig.pass(OFFLINE_AFTER_MS);
  await one.registry.record(WEST, SESSIONS);
  const watched = await watchStates(two, PEOPLE);
  await watched.told(3);
  engine.setBackMs = 3_600_000;
  await rig.pass(1000);
  await one.registry.record(WEST, SESSIONS.slice(0, 1));
  await rig.pass(20_000);
  assert.deepEqual(await found(two, PEOPLE), ["west: ann,bob,cid"]);
  await rig.pass(12_000);
  assert.deepEqual(await found(two, PEOPLE), []);
  const told = await watched.told(3);
  assert.deepEqual(told.sort(), ["ann offline", "bob offline", "cid offline"]);
  assert.deepEqual(watched.states, []);
});

test("notices that were missed are told when the subscription is back", async () => {
  await using rig = await openOnServer();
  const { one, two, testRedis } = rig;
  await rig.pass(OFFLINE_AFTER_MS);
  await one.registry.record(WEST, SESSIONS.slice(0, 2));
  const watched = await watchStates(two, PEOPLE);
  await watched.told(3);
  // A stopped subscription: what is published now goes nowhere.
  await testRedis.redis.call("client", "kill", "type", "pubsub");
  await one.registry.remove("west", ["s1"]);
  await one.registry.record(WEST, SESSIONS.slice(1));
  await rig.pass(1000);
  assert.deepEqual((await watched.told(2)).sort(), ["ann offline", "cid online"]);
  await one.registry.record(WEST, SESSIONS);
  assert.deepEqual(await watched.told(1), ["ann online"]);
});

test("a Redis that stands still: everything is refused in time, and works afterwards", async () => {
  await using rig = await openOnServer();
  const { one, two, server } = rig;
  await one.registry.record(WEST, SESSIONS);
  const watched = await watchStates(two, PEOPLE);
  await watched.told(3);
  server.pause();
  const calls = [
    one.registry.record(WEST, SESSIONS),
    one.registry.lookUp(PEOPLE),
    one.registry.read(PEOPLE),
    one.registry.remove("west", ["s1"]),
    two.registry.sweep(),
    two.registry.watch(() => undefined).add(["dan"]),
  ];
  for (const call of await Promise.allSettled(calls)) {
    assert.equal(call.status, "rejected");
    assert.ok(isUnavailable(call.reason), String(call.reason));
  }
  server.resume();
  await untilBack(rig.instances);
  assert.deepEqual((await one.registry.record(WEST, SESSIONS)).newSessionIds.length <= 1, true);
  assert.deepEqual(await found(two, PEOPLE), ["west: ann,bob,cid"]);
});

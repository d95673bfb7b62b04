/** Several instances of the service on one Redis answer as one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RedisCommandError, type RedisConnection } from "@parley/platform/storage/engine/redis";
import { OFFLINE_AFTER_MS } from "../domain/presence-rules.ts";
import {
  EAST,
  found,
  openInstances,
  session,
  WEST,
  watchStates,
} from "./testing/test-instances.ts";

test("what one instance is told, the other knows", async () => {
  await using rig = await openInstances();
  const { one, two } = rig;
  const watched = await watchStates(two, ["ann", "bob"]);
  assert.deepEqual(await watched.told(2), ["ann offline", "bob offline"]);
  await one.registry.record(WEST, [session("s1", "ann"), session("s2", "bob")]);
  assert.deepEqual(await found(two, ["ann", "bob"]), ["west: ann,bob"]);
  assert.deepEqual((await watched.told(2)).sort(), ["ann online", "bob online"]);
  const again = await two.registry.record(WEST, [session("s1", "ann"), session("s3", "ann")]);
  assert.deepEqual(again.newSessionIds, ["s3"]);
  await two.registry.remove("west", ["s2"]);
  assert.deepEqual(await watched.told(1), ["bob offline"]);
  const heardMs = rig.clock.nowMs();
  for (const { registry } of [two, one]) {
    const [state] = await registry.read(["bob"]);
    assert.deepEqual(state, { userId: "bob", status: "offline", lastSeenTimeMs: heardMs });
  }
  await one.registry.remove("west", "all");
  assert.deepEqual(await found(two, ["ann"]), []);
  assert.deepEqual(await watched.told(1), ["ann offline"]);
  assert.deepEqual(watched.states, []);
});

test("sweeps that run in all instances at once find each silent session once", async () => {
  await using rig = await openInstances({ count: 3 });
  const people = Array.from({ length: 700 }, (_, index) => `u${index}`);
  const watches = await Promise.all(rig.instances.map((instance) => watchStates(instance, people)));
  const notices: string[] = [];
  await rig.testRedis.redis.psubscribe(`${rig.testRedis.config.prefix}presence:*:status:*`);
  rig.testRedis.redis.on("pmessage", (_pattern, channel: string, message: string) => {
    notices.push(`${channel.split(":").at(-1)} ${message.split(" ")[1]}`);
  });
  const sessions = people.map((userId) => session(`s ${userId}`, userId));
  await Promise.all(rig.instances.map(({ registry }) => registry.record(WEST, sessions)));
  await rig.pass(OFFLINE_AFTER_MS);
  for (const watch of watches) {
    const told = await watch.told(3 * people.length);
    const expected = people.flatMap((id) => [`${id} offline`, `${id} online`, `${id} offline`]);
    assert.deepEqual(told.sort(), expected.sort());
  }
  assert.deepEqual(rig.instances.flatMap(({ recorded }) => recorded).sort(), people.toSorted());
  await rig.testRedis.redis.ping();
  const once = people.flatMap((id) => [`${id} offline`, `${id} online`]);
  assert.deepEqual(notices.sort(), once.sort());
  rig.testRedis.redis.disconnect(true);
});

test("people who stay online are put on record by one of the instances, every minute", async () => {
  await using rig = await openInstances();
  const people = ["ann", "bob", "cid"];
  const sessions = people.map((userId) => session(`s ${userId}`, userId));
  for (let passed = 0; passed <= 120_000; passed += 5000) {
    await rig.one.registry.record(WEST, sessions);
    await rig.pass(5000);
  }
  const recorded = [...rig.one.recorded, ...rig.two.recorded];
  assert.deepEqual(recorded.sort(), [...people, ...people].sort());
});

test("a session that its gateway claims for another person moves", async () => {
  await using rig = await openInstances();
  const { one, two } = rig;
  await one.registry.record(WEST, [session("s1", "ann")]);
  const watched = await watchStates(two, ["ann", "bob"]);
  await watched.told(2);
  const moved = await one.registry.record(WEST, [session("s1", "bob")]);
  assert.deepEqual(moved.newSessionIds, []);
  assert.deepEqual((await watched.told(2)).sort(), ["ann offline", "bob online"]);
  assert.deepEqual(await found(two, ["ann", "bob"]), ["west: bob"]);
});

test("a session whose first answer was lost is named by the next, once", async () => {
  let losing: "reply" | "batch" | undefined;
  const wrap = (connection: RedisConnection): RedisConnection => ({
    ...connection,
    publishCommand: connection.publishCommand,
    async runEach(commands) {
      const replies = await connection.runEach(commands);
      if (losing === "batch") throw new Error("lost");
      if (losing === "reply")
        return [new RedisCommandError(new Error("lost")), ...replies.slice(1)];
      return replies;
    },
  });
  await using rig = await openInstances({ wrap, count: 1 });
  const { registry } = rig.one;
  const sessions = ["ann", "bob", "cid"].map((userId) => session(`s ${userId}`, userId));
  const ids = sessions.map(({ sessionId }) => sessionId);
  for (losing of ["batch", "reply", "batch"] as const) {
    await assert.rejects(registry.record(WEST, sessions), /lost/);
  }
  losing = undefined;
  assert.deepEqual((await registry.record(WEST, sessions)).newSessionIds, ids);
  assert.deepEqual((await registry.record(WEST, sessions)).newSessionIds, []);
  losing = "batch";
  await assert.rejects(registry.record(WEST, sessions), /lost/);
  losing = undefined;
  assert.deepEqual((await registry.record(WEST, sessions)).newSessionIds, [], "they were known");
});

test("a watch of many is one subscription per person, and none when nobody watches", async () => {
  await using rig = await openInstances({ count: 1 });
  const channels = async () => {
    const pattern = `${rig.testRedis.config.prefix}presence:*`;
    return ((await rig.testRedis.redis.pubsub("CHANNELS", pattern)) as string[]).length;
  };
  const people = Array.from({ length: 2000 }, (_, index) => `u${index}`);
  const first = await watchStates(rig.one, people);
  const second = await watchStates(rig.one, people.slice(0, 10));
  assert.equal(await channels(), 2000);
  first.watching.remove(people.slice(0, 20));
  first.watching[Symbol.dispose]();
  while ((await channels()) !== 10) await rig.one.connection.run([["ping"]]);
  await rig.one.registry.record(WEST, [session("s1", "u3"), session("s2", "u500")]);
  assert.deepEqual((await second.told(11)).slice(10), ["u3 online"]);
  second.watching[Symbol.dispose]();
  while ((await channels()) !== 0) await rig.one.connection.run([["ping"]]);
});

test("nothing is kept that does not expire, and nothing of sessions that are gone", async () => {
  await using rig = await openInstances();
  const { testRedis } = rig;
  for (let round = 0; round < 5; round++) {
    const sessions = Array.from({ length: 40 }, (_, index) =>
      session(`s${round} ${index}`, `u${index}`),
    );
    await rig.one.registry.record(WEST, sessions);
    await rig.two.registry.record(EAST, [session(`e${round}`, "u1")]);
  }
  const ttls = async () => {
    const keys = await testRedis.listKeys();
    return Promise.all(keys.map(async (key) => [key, await testRedis.redis.pttl(key)] as const));
  };
  const isForever = ([, ttl]: readonly [string, number]) => ttl < 0;
  assert.deepEqual((await ttls()).filter(isForever), []);
  await rig.pass(OFFLINE_AFTER_MS);
  const left = await ttls();
  assert.deepEqual(left.filter(isForever), []);
  const kinds = left.map(([key]) =>
    key.replace(/.*\}:|.*presence:/, "").replace(/last-seen:.*/, "last-seen"),
  );
  assert.deepEqual([...new Set(kinds)].sort(), ["last-seen", "last-seen-used", "state"]);
});

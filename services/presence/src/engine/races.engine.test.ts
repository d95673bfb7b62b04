/** What happens between finding and taking out, and between a change and its notice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RedisConnection } from "@parley/platform/storage/engine/redis";
import { OFFLINE_AFTER_MS } from "../domain/presence-rules.ts";
import { found, openInstances, session, WEST, watchStates } from "./testing/test-instances.ts";

const ANN = session("s1", "ann");

/** Runs something when a script that takes sessions out is about to be sent. */
function beforeTakingOut(connection: RedisConnection, meanwhile: () => Promise<unknown>) {
  return {
    ...connection,
    async runEach(commands: Parameters<RedisConnection["runEach"]>[0]) {
      if (commands.some(([name]) => name === "presenceTakeOut")) await meanwhile();
      return connection.runEach(commands);
    },
  };
}

test("a session that is renewed after it was found silent stays", async () => {
  let meanwhile = async (): Promise<unknown> => undefined;
  await using rig = await openInstances({
    wrap: (connection) => beforeTakingOut(connection, () => meanwhile()),
  });
  const { one, two, clock } = rig;
  await one.registry.record(WEST, [ANN]);
  const watched = await watchStates(two, ["ann"]);
  await rig.pass(OFFLINE_AFTER_MS - 1000);
  let renewed = 0;
  meanwhile = async () => {
    renewed++;
    await two.registry.record(WEST, [ANN]);
  };
  clock.advance(1000);
  await one.registry.sweep();
  assert.equal(renewed, 1);
  assert.deepEqual(await found(one, ["ann"]), ["west: ann"]);
  assert.deepEqual(watched.states, ["ann online"]);
});

test("a session that was found silent just before a gap is held like the others", async () => {
  let meanwhile = async (): Promise<unknown> => undefined;
  await using rig = await openInstances({
    wrap: (connection) => beforeTakingOut(connection, () => meanwhile()),
  });
  const { one, two, clock } = rig;
  await one.registry.record(WEST, [ANN]);
  await rig.pass(OFFLINE_AFTER_MS - 1000);
  meanwhile = async () => {
    meanwhile = async () => undefined;
    clock.advance(60_000);
    await two.registry.sweep();
  };
  clock.advance(1000);
  await one.registry.sweep();
  assert.deepEqual(await found(one, ["ann"]), ["west: ann"]);
  await rig.pass(OFFLINE_AFTER_MS);
  assert.deepEqual(await found(one, ["ann"]), []);
});

test("a notice that is overtaken by a newer change is not told", async () => {
  const late: (() => void)[] = [];
  let holding = false;
  await using rig = await openInstances({
    wrap: (connection) => ({
      ...connection,
      subscribe: ({ onMessage, onRestored }) =>
        connection.subscribe({
          onRestored,
          onMessage(channel, message) {
            if (holding) late.push(() => onMessage(channel, message));
            else onMessage(channel, message);
          },
        }),
    }),
  });
  const { one, two, testRedis } = rig;
  await two.registry.record(WEST, [ANN]);
  const watched = await watchStates(two, ["ann"]);
  holding = true;
  await one.registry.remove("west", ["s1"]);
  await two.registry.record(WEST, [ANN]);
  while (late.length < 2) await testRedis.redis.ping();
  holding = false;
  for (const deliver of late) deliver();
  assert.deepEqual(watched.states, ["ann online"]);
  await one.registry.remove("west", ["s1"]);
  assert.deepEqual(await watched.told(2), ["ann online", "ann offline"]);
});

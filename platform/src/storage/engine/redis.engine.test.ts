import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { Redis } from "ioredis";
import { createDeferred } from "../../async/deferred.ts";
import { sleep } from "../../async/sleep.ts";
import { reasonOf, retryAfterMsOf } from "../../errors.ts";
import { openRedis, type RedisConnection } from "./redis.ts";
import { RedisReplyError } from "./redis-errors.ts";
import { startRedis, startRedisCluster } from "./testing/redis-server.ts";
import { openTestRedis, testRedisConfig } from "./testing/test-redis.ts";

const isUnavailable = (error: unknown) => {
  assert.ok(error instanceof ConnectError);
  assert.equal(error.code, Code.Unavailable);
  assert.equal(reasonOf(error), "REDIS_UNAVAILABLE");
  assert.ok((retryAfterMsOf(error) ?? 0) > 0);
  return true;
};

/** Asks until the server answers again. */
async function untilAnswered(connection: RedisConnection): Promise<void> {
  for (;;) {
    try {
      await connection.run([["ping"]]);
      return;
    } catch {
      await sleep(20);
    }
  }
}

test("commands and scripts are answered in order, also when the server forgets the scripts", async () => {
  await using testRedis = await openTestRedis();
  const { connection, redis, config } = testRedis;
  const key = `${config.prefix}{a}:n`;
  connection.define({ testAdd: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
  const add = ["testAdd", 1, key, 2] as const;
  assert.deepEqual(await connection.run([["set", key, 1], add, ["get", key], add]), [
    ...["OK", 3, "3", 5],
  ]);
  await redis.script("FLUSH");
  assert.deepEqual(await connection.run([add, add]), [7, 9]);
});

test("a command that is wrong is our bug, named without its arguments; the others are carried out", async () => {
  await using testRedis = await openTestRedis();
  const { connection, config } = testRedis;
  const key = `${config.prefix}text`;
  const commands = [
    ["set", key, "secret"],
    ["incr", key],
    ["get", key],
  ] as const;
  await assert.rejects(connection.run(commands), (error) => {
    assert.ok(error instanceof RedisReplyError);
    assert.ok(!JSON.stringify({ ...error, cause: error.cause }).includes(config.prefix));
    return true;
  });
  const [, , text] = await connection.runEach(commands);
  assert.equal(text, "secret");
});

test("a server that is down: typed at once, told once, and back by itself", async () => {
  await using server = await startRedis();
  const told: string[] = [];
  const recovered = createDeferred<void>();
  await using connection = await openRedis(testRedisConfig({ addresses: [server.address] }), {
    clientName: "test",
    onProblem: () => told.push("problem"),
    onRecovered() {
      told.push("recovered");
      recovered.resolve();
    },
  });
  await connection.run([["set", "a", "1"]]);
  await server.stop();
  await assert.rejects(connection.run([["get", "a"]]), isUnavailable);
  const startMs = performance.now();
  await assert.rejects(connection.run([["get", "a"]]), isUnavailable);
  assert.ok(performance.now() - startMs < 1000, "nothing waits in a queue");
  await server.start();
  await recovered.promise;
  assert.deepEqual(await connection.run([["get", "a"]]), [null]);
  assert.deepEqual(told, ["problem", "recovered"]);
});

test("a server that is not there at the start does not keep anybody from starting", async () => {
  await using server = await startRedis();
  await server.stop();
  const opening = openRedis(testRedisConfig({ addresses: [server.address] }), {
    clientName: "test",
  });
  await using connection = await opening;
  await assert.rejects(connection.run([["ping"]]), isUnavailable);
  await server.start();
  await untilAnswered(connection);
});

test("a server that stands still: what waits is refused, what is too much at once", async () => {
  await using server = await startRedis();
  await using connection = await openRedis(testRedisConfig({ addresses: [server.address] }), {
    clientName: "test",
  });
  server.pause();
  const waiting = connection.run(Array.from({ length: 20_000 }, () => ["ping"] as const));
  await assert.rejects(connection.run([["ping"]]), /Too many/);
  await assert.rejects(waiting, isUnavailable);
  server.resume();
  await untilAnswered(connection);
});

test("a password is used, and never shown", async () => {
  await using server = await startRedis(["--requirepass", "pass-word"]);
  const config = testRedisConfig({ addresses: [server.address], password: "pass-word" });
  await using connection = await openRedis(config, { clientName: "test" });
  assert.deepEqual(await connection.run([["ping"]]), ["PONG"]);
  const problem = createDeferred<unknown>();
  const wrong = openRedis(
    { ...config, password: "wrong-one" },
    { clientName: "test", onProblem: problem.resolve },
  );
  assert.ok(!String(await problem.promise).includes("wrong-one"));
  await using refused = await wrong;
  await assert.rejects(refused.run([["ping"]]), isUnavailable);
});

for (const cluster of [false, true]) {
  const where = cluster ? "a cluster" : "a server";
  test(`channels of ${where}: messages by tag, and again after the connection was lost`, async () => {
    await using own = cluster ? await startRedisCluster() : await startRedis();
    const addresses = "addresses" in own ? own.addresses : [own.address];
    await using testRedis = await openTestRedis({ addresses, cluster });
    const { connection } = testRedis;
    const publish = connection.publishCommand.toLowerCase();
    const messages: string[] = [];
    let news = createDeferred<void>();
    const restored = new Set<string>();
    await using subscriptions = connection.subscribe({
      onMessage(channel, message) {
        messages.push(`${channel} ${message}`);
        news.resolve();
      },
      onRestored: (tag) => restored.add(tag),
    });
    const tags = ["p0", "p1", "p2", "p3", "p4", "p5"];
    for (const tag of tags) await subscriptions.add(tag, [`{${tag}}:x`, `{${tag}}:y`]);
    const hear = async (channel: string, text: string) => {
      news = createDeferred();
      await connection.run([[publish, channel, text]]);
      await news.promise;
      assert.equal(messages.pop(), `${channel} ${text}`);
    };
    for (const tag of tags) await hear(`{${tag}}:x`, "1");
    subscriptions.remove("p0", ["{p0}:x"]);
    await connection.run([[publish, "{p0}:x", "2"]]);
    await hear("{p0}:y", "2");
    const nodes = "nodes" in own ? own.nodes : [own];
    for (const { address } of nodes) {
      const admin = new Redis(address);
      for (const type of ["pubsub", "normal"]) await admin.call("client", "kill", "type", type);
      admin.disconnect();
      await once(admin, "end");
    }
    while (restored.size < tags.length) await sleep(20);
    await untilAnswered(connection);
    for (const tag of tags) await hear(`{${tag}}:y`, "3");
    assert.deepEqual(messages, []);
  });
}

test("a cluster: one call reaches every node, and a slot that moves is followed", async () => {
  await using cluster = await startRedisCluster();
  const { addresses } = cluster;
  await using testRedis = await openTestRedis({ addresses, cluster: true });
  const { connection } = testRedis;
  connection.define({ testAdd: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
  const commands = Array.from({ length: 64 }, (_, index) => {
    return ["testAdd", 1, `{p${index}}:n`, index] as const;
  });
  const first = await connection.run(commands);
  assert.deepEqual(first, [...commands.keys()]);
  const heard: string[] = [];
  const restored = createDeferred<void>();
  await using subscriptions = connection.subscribe({
    onMessage: (channel, message) => heard.push(`${channel} ${message}`),
    onRestored: () => restored.resolve(),
  });
  await subscriptions.add("p7", ["{p7}:x"]);

  const slot = Number((await connection.run([["cluster", "KEYSLOT", "{p7}"]]))[0]);
  const admins = addresses.map((address) => new Redis(address));
  const ids = await Promise.all(admins.map((admin) => admin.cluster("MYID")));
  const holders = await Promise.all(admins.map((admin) => admin.cluster("COUNTKEYSINSLOT", slot)));
  const from = holders.findIndex((count) => Number(count) > 0);
  const to = (from + 1) % 3;
  await admins[to]?.cluster("SETSLOT", slot, "IMPORTING", String(ids[from]));
  await admins[from]?.cluster("SETSLOT", slot, "MIGRATING", String(ids[to]));
  const port = String(addresses[to]?.port);
  await admins[from]?.call("MIGRATE", "127.0.0.1", port, "{p7}:n", "0", "5000");
  for (const at of [to, from]) await admins[at]?.cluster("SETSLOT", slot, "NODE", String(ids[to]));
  for (const admin of admins) admin.disconnect();

  const second = await connection.run(commands);
  assert.deepEqual(
    second,
    [...commands.keys()].map((index) => 2 * index),
  );
  await restored.promise;
  await connection.run([["spublish", "{p7}:x", "moved"]]);
  while (heard.length === 0) await sleep(20);
  assert.deepEqual(heard, ["{p7}:x moved"]);
});

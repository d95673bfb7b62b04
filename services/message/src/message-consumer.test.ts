import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createDeferred } from "@parley/platform/async/deferred";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { CONVERSATIONS, toRecords } from "./testing/histories.ts";
import { startInstance } from "./testing/history-instance.ts";
import { createModelWorld } from "./testing/history-world.ts";
import { createScriptedLog } from "./testing/scripted-log.ts";

const say = {
  kind: "message",
  conversation: 0,
  elapsedMs: 1,
  user: 0,
  device: 0,
  payloadBytes: 1,
  payloadBytesMax: 8,
  windowMs: 30,
  silent: false,
} as const;

/** An instance on a log whose partition 0 holds a conversation's beginning and two messages. */
async function open() {
  const telemetry = silentTelemetry();
  const { records } = toRecords([
    { ...say, clientId: 0 },
    { ...say, clientId: 1 },
  ]);
  const script = createScriptedLog(records);
  const world = createModelWorld();
  const failure: { value: Error | undefined } = { value: undefined };
  const gate: { value: Promise<void> | undefined } = { value: undefined };
  const store = await world.open({
    beforeStep: () => {
      if (failure.value !== undefined) throw failure.value;
      return gate.value;
    },
    random: () => 0.5,
  });
  const instance = await startInstance({
    store,
    script,
    delivered: new Map(),
    telemetry,
    faults: new Set(),
    conversationsMax: 10,
  });
  const lastSeq = async () => {
    const id = CONVERSATIONS[0] ?? "";
    return (await store.loadConversations([id])).get(id)?.lastSeq ?? 0;
  };
  return { ...instance, script, world, failure, gate, lastSeq };
}

describe("the consumer", () => {
  it("gives a batch back that the store refused, and takes it when it comes again", async () => {
    const { member, failure, lastSeq, dispatcher } = await open();
    await member.assign(0);
    failure.value = new Error("no space");
    await assert.rejects(member.deliver(0, 0, 10), failure.value);
    assert.equal(dispatcher.pending, 0, "nothing is dispatched that is not stored");
    failure.value = undefined;
    await member.deliver(0, 0, 10);
    assert.equal(await lastSeq(), 3);
    assert.equal(dispatcher.pending, 3);
    await member.deliver(0, 0, 10);
    assert.equal(dispatcher.pending, 3, "what comes once more is not dispatched once more");
  });

  it("commits to the log only what is on disk and dispatched", async () => {
    const { member, script, world, dispatcher, consumer } = await open();
    const committed = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return script.committed[0];
    };
    await member.assign(0);
    await member.deliver(0, 0, 10);
    await world.flush();
    assert.equal(await committed(), 0, "nothing is dispatched");
    dispatcher.release(2);
    consumer.saveCheckpoints();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await committed(), 0, "nothing of it is on disk");
    await world.flush();
    assert.equal(await committed(), 2);
    dispatcher.release(1);
    consumer.saveCheckpoints();
    await new Promise((resolve) => setImmediate(resolve));
    await world.flush();
    assert.equal(await committed(), 3);
  });

  it("keeps no state of a batch whose partition it lost meanwhile", async () => {
    const { member, gate, cache, dispatcher, lastSeq } = await open();
    await member.assign(0);
    const written = createDeferred<void>();
    gate.value = written.promise;
    const delivering = member.deliver(0, 0, 10);
    await new Promise((resolve) => setImmediate(resolve));
    await member.revoke(0);
    written.resolve();
    await delivering;
    assert.equal(await lastSeq(), 3, "what is written late is right");
    assert.equal(cache.size, 0, "and who owns the partition now goes on from the store");
    assert.equal(dispatcher.pending, 3);
  });

  it("ignores a batch of a partition that it has lost", async () => {
    const { member, lastSeq } = await open();
    await member.assign(0);
    await member.revoke(0);
    await member.deliver(0, 0, 10);
    assert.equal(await lastSeq(), 0);
  });
});

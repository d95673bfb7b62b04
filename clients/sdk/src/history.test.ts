import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemoryStorage } from "./storage/memory-storage.ts";
import { connectPerson, createTestClient, nextEvent } from "./testing/people.ts";
import { startTestServer } from "./testing/test-server.ts";

const COUNT = 120;

/** Ana and Bob with 121 entries, of which catch-up brought Ana the newest 50. */
async function createWorld(options: Parameters<typeof connectPerson>[2] = {}) {
  const server = await startTestServer();
  const bob = await connectPerson(server, "bob");
  const user = server.model.signUp("ana", "correct horse", "").user;
  const chat = await bob.openDirect(user.userId);
  for (let number = 1; number <= COUNT; number++) chat.send(`message ${number}`);
  await bob.outbox.settled();
  const ana = await connectPerson(server, "ana", options);
  const { calls } = server;
  calls.clear();
  return {
    server,
    bob,
    ana,
    calls,
    id: chat.id,
    chat: ana.conversation(chat.id),
    async [Symbol.asyncDispose]() {
      await Promise.all([ana.close(), bob.close()]);
      await server.stop();
    },
  };
}

const seqs = (entries: readonly { readonly seq: bigint }[]) =>
  entries.map(({ seq }) => Number(seq));
const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

describe("history", () => {
  it("comes from the storage as far as that reaches, then from the server, without gaps", async () => {
    await using world = await createWorld();
    const { chat, calls } = world;
    assert.deepEqual(chat.holes, [{ first: 1n, last: 71n }]);
    const newest = await chat.history({ count: 20 });
    assert.deepEqual([seqs(newest.entries), newest.more], [range(102, 121), true]);
    assert.equal(calls.get("listMessages"), undefined);
    const across = await chat.history({ before: 82n, count: 20 });
    assert.deepEqual(seqs(across.entries), range(62, 81));
    assert.equal(calls.get("listMessages"), 1);
    assert.deepEqual(chat.holes, [{ first: 1n, last: 61n }]);
    const oldest = await chat.history({ before: 62n, count: 200 });
    assert.deepEqual([seqs(oldest.entries), oldest.more], [range(1, 61), false]);
    assert.deepEqual(chat.holes, []);
    // What was read is kept.
    await chat.history({ before: 100n, count: 99 });
    assert.equal(calls.get("listMessages"), 2);
  });

  it("works before anything of the conversation has come", async () => {
    await using world = await createWorld();
    const client = createTestClient(world.server);
    await client.signIn({ username: "ana", password: "correct horse" });
    const page = await client.conversation(world.id).history({ count: 3 });
    assert.deepEqual([seqs(page.entries), page.more], [range(119, 121), true]);
    await client.close();
  });

  it("is there without a server as far as it was kept, also after a restart", async () => {
    const storage = { ...createMemoryStorage(), close: async () => {} };
    await using world = await createWorld({ storage });
    await world.ana.close();
    await world.server.stop();
    await using again = createTestClient(world.server, { storage });
    const page = await again.conversation(world.id).history({ count: 50 });
    assert.deepEqual(seqs(page.entries), range(72, 121));
    await assert.rejects(again.conversation(world.id).history({ before: 72n }), {
      reason: "NETWORK",
    });
  });

  it("ends where a person joined", async () => {
    await using world = await createWorld();
    const { bob, ana } = world;
    const group = await bob.createGroup("Team", []);
    for (const text of ["one", "two", "three"]) await group.send(text).result;
    const told = nextEvent(
      ana,
      "conversationChanged",
      (event) => event.conversationId === group.id,
    );
    await bob.conversations.addMembers({ conversationId: group.id, userIds: [ana.userId] });
    assert.equal((await told).entry.seq, 5n);
    const page = await ana.conversation(group.id).history();
    assert.deepEqual([seqs(page.entries), page.more], [[5], false]);
  });
});

describe("a conversation on screen", () => {
  it("grows at both ends, and applies edits and reactions", async () => {
    await using world = await createWorld();
    const viewer = await world.chat.open({ count: 10 });
    assert.deepEqual(seqs(viewer.view.messages), range(112, 121));
    await Promise.all([viewer.loadOlder(10), viewer.loadOlder(10)]);
    assert.deepEqual(seqs(viewer.view.messages), range(102, 121));
    const target = viewer.view.messages.at(-1);
    assert.ok(target);
    const changed = new Promise<void>((resolve) => {
      viewer.onChange((view) => view.messages.at(-1)?.reactions.length === 1 && resolve());
    });
    await world.bob.conversation(world.id).edit(target, "other words").result;
    await world.chat.react(target, "👍").result;
    await changed;
    const last = viewer.view.messages.at(-1);
    assert.deepEqual([last?.text, last?.edited], ["other words", true]);
    assert.deepEqual(last?.reactions, [{ emoji: "👍", userIds: [world.ana.userId] }]);
    await viewer.loadOlder(200);
    assert.deepEqual([viewer.view.messages.length, viewer.more], [121, false]);
    viewer.close();
  });

  it("can be iterated over", async () => {
    await using world = await createWorld();
    const seen: bigint[] = [];
    const messages = world.chat.messages();
    for (let number = 0; number < 3; number++) world.bob.conversation(world.id).send(`${number}`);
    for await (const entry of messages) {
      seen.push(entry.seq);
      if (seen.length === 3) break;
    }
    assert.deepEqual(seen, [122n, 123n, 124n]);
    const waiting = world.chat.messages().next();
    await world.ana.close();
    assert.equal((await waiting).done, true);
  });
});

// The whole client against a server that is put back from an older copy.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { decodeContent } from "./content/content.ts";
import type { ParleyClient } from "./parley-client.ts";
import type { RoadName } from "./session/road.ts";
import { createMemoryStorage } from "./storage/memory-storage.ts";
import type { ReplacedConversation } from "./sync/synchronizer.ts";
import { connectPerson, nextEvent } from "./testing/people.ts";
import { startTestServer, type TestServer } from "./testing/test-server.ts";

function textOf(entry: Message): string {
  const content = entry.body.case === "payload" ? decodeContent(entry.body.value) : undefined;
  return content?.kind.case === "text" ? content.kind.value.text : "";
}

/** What an application holds that forgets what it is told to forget. */
function follow(client: ParleyClient) {
  let texts: { readonly seq: bigint; readonly text: string }[] = [];
  const replaced: ReplacedConversation[] = [];
  client.on("message", (entry) => texts.push({ seq: entry.seq, text: textOf(entry) }));
  client.on("conversationReplaced", (event) => {
    replaced.push(event);
    texts = texts.filter(({ seq }) => seq <= event.keptSeq);
  });
  return { replaced, texts: () => texts.map(({ text }) => text).filter((text) => text !== "") };
}

/** Takes the server away, puts a copy of when there were `count` entries in its place, and brings it back. */
async function restore(server: TestServer, conversationId: string, count: number): Promise<void> {
  await server.stop();
  const conversation = server.model.conversations.get(conversationId);
  if (conversation) server.model.restore(conversation, count);
  await server.start();
}

/** Entries 1 (the beginning) to 5: one, two, three, four; Ana wrote the odd ones. */
async function createChat(options: Parameters<typeof connectPerson>[2] = {}) {
  const server = await startTestServer();
  const bob = await connectPerson(server, "bob", options);
  const ana = await connectPerson(server, "ana", options);
  const chat = await ana.openDirect(bob.userId);
  const { id } = chat;
  const held = { ana: follow(ana), bob: follow(bob) };
  for (const [who, text] of [
    [ana, "one"],
    [bob, "two"],
    [ana, "three"],
    [bob, "four"],
  ] as const) {
    const told = nextEvent(who === ana ? bob : ana, "message", (entry) => textOf(entry) === text);
    await who.conversation(id).send(text).result;
    await told;
  }
  return {
    server,
    ana,
    bob,
    chat,
    held,
    async [Symbol.asyncDispose]() {
      await Promise.all([ana.close(), bob.close()]);
      await server.stop();
    },
  };
}

const roads: readonly RoadName[] = ["websocket", "connect", "long-poll", "short-poll"];

describe("after the server was put back from an older copy", () => {
  for (const transport of roads) {
    it(`everybody sees the same again, and knows what is lost (${transport})`, async () => {
      await using world = await createChat({ transport });
      const { server, ana, bob, chat, held } = world;
      const caughtUp = Promise.all([nextEvent(ana, "caughtUp"), nextEvent(bob, "caughtUp")]);
      await restore(server, chat.id, 3);
      await caughtUp;
      assert.deepEqual(held.ana.texts(), ["one", "two"]);
      for (const { replaced } of [held.ana, held.bob]) {
        assert.equal(replaced.length, 1);
        assert.equal(replaced[0]?.keptSeq, 3n);
        // Own messages that the server accepted and lost are among them.
        assert.deepEqual(replaced[0]?.entries.map(textOf), ["three", "four"]);
      }
      const told = nextEvent(ana, "message", (entry) => textOf(entry) === "five");
      assert.equal((await bob.conversation(chat.id).send("five").result).seq, 4n);
      await told;
      assert.deepEqual(held.ana.texts(), ["one", "two", "five"]);
      assert.deepEqual(held.bob.texts(), ["one", "two", "five"]);
      // From then on nothing is strange any more.
      const again = nextEvent(ana, "caughtUp");
      server.sessions.cutAll();
      await again;
      assert.equal(held.ana.replaced.length, 1);
    });
  }

  it("what waits in the outbox goes out once, and is not told of as lost", async () => {
    await using world = await createChat();
    const { server, ana, bob, chat, held } = world;
    const offline = nextEvent(ana, "stateChanged", (state) => state.state === "offline");
    await server.stop();
    await offline;
    const waiting = [chat.send("five"), chat.send("six")];
    const caughtUp = nextEvent(ana, "caughtUp");
    const sixth = nextEvent(bob, "message", (entry) => textOf(entry) === "six");
    await restore(server, chat.id, 2);
    await caughtUp;
    await Promise.all(waiting.map((handle) => handle.result));
    await sixth;
    assert.deepEqual(held.ana.replaced[0]?.entries.map(textOf), ["two", "three", "four"]);
    assert.equal(held.ana.replaced.length, 1);
    while (held.ana.texts().length < 3) await nextEvent(ana, "message");
    assert.deepEqual(held.ana.texts(), ["one", "five", "six"]);
    assert.deepEqual(held.bob.texts(), ["one", "five", "six"]);
  });

  it("a device that was away finds out by what it stored, even where more was written since", async () => {
    const storage = { ...createMemoryStorage(), close: async () => {} };
    await using world = await createChat();
    const { server, bob, chat } = world;
    const before = await connectPerson(server, "ana", { storage });
    await before.close();
    const caughtUp = nextEvent(bob, "caughtUp");
    await restore(server, chat.id, 3);
    await caughtUp;
    // As many entries as before, and one more: a position alone would tell nothing.
    for (const text of ["5", "6", "7"]) await bob.conversation(chat.id).send(text).result;
    await using again = await connectPerson(server, "ana", { storage, transport: "connect" });
    const conversation = again.conversation(chat.id);
    assert.equal(conversation.position, 6n);
    const { entries } = await conversation.history();
    assert.deepEqual(entries.map(textOf).slice(1), ["one", "two", "5", "6", "7"]);
    const stored = (await storage.load()).timelines.find((t) => t.conversationId === chat.id);
    assert.equal(stored?.messageId, entries.at(-1)?.messageId);
  });

  it("a conversation that the copy does not have is gone, and can begin anew", async () => {
    await using world = await createChat();
    const { server, ana, bob, chat, held } = world;
    const caughtUp = nextEvent(ana, "caughtUp");
    await restore(server, chat.id, 0);
    await caughtUp;
    assert.deepEqual(held.ana.replaced[0]?.keptSeq, 0n);
    assert.deepEqual(held.ana.replaced[0]?.entries.map(textOf), [
      "",
      "one",
      "two",
      "three",
      "four",
    ]);
    assert.equal(ana.conversation(chat.id).position, 0n);
    await bob.openDirect(ana.userId);
    const told = nextEvent(ana, "message", (entry) => textOf(entry) === "hello");
    await bob.conversation(chat.id).send("hello").result;
    await told;
    assert.deepEqual(held.ana.texts(), ["hello"]);
  });

  it("a view shows what the server has", async () => {
    await using world = await createChat();
    const { server, ana, bob, chat } = world;
    const viewer = await chat.open();
    const lines = () => viewer.view.messages.filter((m) => m.kind === "text").map((m) => m.text);
    assert.deepEqual(lines(), ["one", "two", "three", "four"]);
    await chat.edit({ seq: 2n, messageId: viewer.view.messages[0]?.messageId ?? 0n }, "1").result;
    const caughtUp = nextEvent(ana, "caughtUp");
    await restore(server, chat.id, 3);
    await caughtUp;
    await bob.conversation(chat.id).send("five").result;
    while (lines().length !== 3) {
      await new Promise<void>((resolve) => {
        const off = viewer.onChange(() => {
          off();
          resolve();
        });
      });
    }
    assert.deepEqual(lines(), ["one", "two", "five"]);
    viewer.close();
  });
});

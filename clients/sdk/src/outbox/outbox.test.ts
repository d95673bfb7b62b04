import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { decodeContent } from "../content/content.ts";
import { ParleyError } from "../errors.ts";
import { createMemoryStorage } from "../storage/memory-storage.ts";
import { connectPerson, createTestClient, nextEvent } from "../testing/people.ts";
import { refusal } from "../testing/test-model.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import { OUTBOX_MESSAGES_MAX } from "./outbox.ts";

/** The texts of a conversation as the server has them. */
function texts(server: TestServer, conversationId: string): string[] {
  return (server.model.conversations.get(conversationId)?.entries ?? []).flatMap((entry) => {
    const content = entry.body.case === "payload" ? decodeContent(entry.body.value) : undefined;
    return content?.kind.case === "text" ? [content.kind.value.text] : [];
  });
}

/** A storage that outlives the client that closes it. */
function createKeptStorage() {
  return { ...createMemoryStorage(), close: async () => {} };
}

function isReason(reason: string) {
  return (error: unknown) => error instanceof ParleyError && error.reason === reason;
}

async function createChat(options: Parameters<typeof connectPerson>[2] = {}) {
  const server = await startTestServer();
  const bob = await connectPerson(server, "bob");
  const ana = await connectPerson(server, "ana", options);
  const chat = await ana.openDirect(bob.userId);
  return {
    server,
    ana,
    bob,
    chat,
    async [Symbol.asyncDispose]() {
      await Promise.all([ana.close(), bob.close()]);
      await server.stop();
    },
  };
}

describe("the outbox", () => {
  it("keeps the order when the server asks the first message to come again later", async () => {
    await using world = await createChat();
    let refusals = 3;
    world.server.sessions.faults.refuseSend = () =>
      refusals-- > 0
        ? refusal(Code.ResourceExhausted, "RATE_LIMITED", "Slower.", { retryAfterMs: 10 })
        : undefined;
    const handles = ["one", "two", "three"].map((text) => world.chat.send(text));
    await Promise.all(handles.map((handle) => handle.result));
    assert.deepEqual(texts(world.server, world.chat.id), ["one", "two", "three"]);
  });

  it("sends once though the answer was lost", async () => {
    await using world = await createChat();
    let lose = true;
    world.server.sessions.faults.loseAnswer = () => {
      const lost = lose;
      lose = false;
      return lost;
    };
    const shown: bigint[] = [];
    world.ana.on("message", (entry) => shown.push(entry.seq));
    const first = world.chat.send("one");
    const second = world.chat.send("two");
    assert.equal((await first.result).seq, 2n);
    assert.equal((await second.result).seq, 3n);
    assert.deepEqual(texts(world.server, world.chat.id), ["one", "two"]);
    assert.deepEqual(shown, [...new Set(shown)].sort());
  });

  it("keeps what is written without a connection, and sends it in order afterwards", async () => {
    await using world = await createChat();
    const offline = nextEvent(world.ana, "stateChanged", (state) => state.state === "offline");
    await world.server.stop();
    await offline;
    const handles = ["one", "two", "three"].map((text) => world.chat.send(text));
    assert.deepEqual(
      handles.map((handle) => handle.state),
      ["queued", "queued", "queued"],
    );
    await world.server.start();
    await Promise.all(handles.map((handle) => handle.result));
    assert.deepEqual(texts(world.server, world.chat.id), ["one", "two", "three"]);
  });

  for (const transport of ["connect", "long-poll", "short-poll"] as const) {
    it(`sends in the next session what went into one that the server had forgotten (${transport})`, async () => {
      await using world = await createChat({ transport });
      // As after a restart of the server, which the client has not noticed yet.
      world.server.sessions.sessions.clear();
      const handles = ["one", "two"].map((text) => world.chat.send(text));
      await Promise.all(handles.map((handle) => handle.result));
      assert.deepEqual(texts(world.server, world.chat.id), ["one", "two"]);
    });
  }

  it("survives a restart, and goes on with the same ids", async () => {
    const storage = createKeptStorage();
    await using world = await createChat({ storage });
    await world.ana.disconnect();
    world.server.sessions.faults.refuseSend = () => refusal(Code.Unavailable, "UNAVAILABLE", "No.");
    const ids = ["one", "two"].map((text) => world.chat.send(text).clientMessageId);
    await nextEvent(world.ana, "send", (event) => event.error !== undefined);
    await world.ana.close();
    world.server.sessions.faults.refuseSend = undefined;

    await using again = await connectPerson(world.server, "ana", { storage });
    await again.outbox.settled();
    const entries = world.server.model.conversations.get(world.chat.id)?.entries.slice(1);
    assert.deepEqual(
      entries?.map((entry) => entry.clientMessageId),
      ids,
    );
    assert.deepEqual((await storage.load()).sends, []);
  });

  it("lets a message that is sent before the storage is read go behind what is in it", async () => {
    const storage = createKeptStorage();
    await using world = await createChat({ storage });
    await world.ana.disconnect();
    world.server.sessions.faults.refuseSend = () => refusal(Code.Unavailable, "UNAVAILABLE", "No.");
    world.chat.send("before");
    await nextEvent(world.ana, "send", (event) => event.error !== undefined);
    await world.ana.close();
    world.server.sessions.faults.refuseSend = undefined;

    await using again = createTestClient(world.server, { storage });
    await again.conversation(world.chat.id).send("after").result;
    assert.deepEqual(texts(world.server, world.chat.id), ["before", "after"]);
  });

  it("tells of a refusal, goes on with the next, and sends the refused one again when asked", async () => {
    await using world = await createChat();
    const { faults } = world.server.sessions;
    faults.refuseSend = ({ body }) =>
      Buffer.from(body.value as Uint8Array).includes("bad")
        ? refusal(Code.InvalidArgument, "PAYLOAD_TOO_LARGE", "Too large.")
        : undefined;
    const bad = world.chat.send("bad");
    const good = world.chat.send("good");
    await assert.rejects(bad.result, isReason("PAYLOAD_TOO_LARGE"));
    assert.equal(bad.state, "failed");
    assert.equal((await good.result).seq, 2n);
    assert.deepEqual(
      world.ana.outbox.list().map((handle) => handle.error?.reason),
      ["PAYLOAD_TOO_LARGE"],
    );
    faults.refuseSend = undefined;
    const repeated = bad.retry();
    assert.equal((await repeated.result).seq, 3n);
    assert.equal(repeated.clientMessageId, bad.clientMessageId);
    assert.deepEqual(world.ana.outbox.list(), []);
  });

  it("keeps a refusal across a restart, and forgets it when discarded", async () => {
    const storage = createKeptStorage();
    await using world = await createChat({ storage });
    world.server.sessions.faults.refuseSend = () =>
      refusal(Code.PermissionDenied, "CANNOT_SEND", "No.");
    await assert.rejects(world.chat.send("hello").result, isReason("CANNOT_SEND"));
    await world.ana.close();
    await using again = await connectPerson(world.server, "ana", { storage });
    const [handle] = again.outbox.list();
    assert.equal(handle?.state, "failed");
    await assert.rejects(handle.result, isReason("CANNOT_SEND"));
    assert.equal(handle.discard(), true);
    assert.deepEqual(again.outbox.list(), []);
    assert.deepEqual((await storage.load()).sends, []);
  });

  it("discards a message that waits", async () => {
    await using world = await createChat();
    await world.server.stop();
    const handle = world.chat.send("never mind");
    const next = world.chat.send("hello");
    assert.equal(handle.discard(), true);
    assert.equal(handle.discard(), false);
    await assert.rejects(handle.result, isReason("DISCARDED"));
    await world.server.start();
    await next.result;
    assert.deepEqual(texts(world.server, world.chat.id), ["hello"]);
  });

  it("does not repeat a message whose outcome nobody can know any more", async () => {
    const storage = createKeptStorage();
    let now = Date.now();
    await using world = await createChat({ storage, now: () => now });
    await world.server.stop();
    const handle = world.chat.send("maybe");
    await world.ana.close();
    const [kept] = (await storage.load()).sends;
    assert.equal(kept?.clientMessageId, handle.clientMessageId);
    assert.notEqual(kept.firstAttemptMs, 0);
    now += 7 * 24 * 3_600_000;
    await world.server.start();
    // Nobody is online in seven days with the same token.
    await using again = await connectPerson(world.server, "ana", { storage, now: () => now });
    await again.outbox.settled();
    const [left] = again.outbox.list();
    assert.equal(left?.error?.reason, "OUTCOME_UNKNOWN");
    assert.deepEqual(texts(world.server, world.chat.id), []);
    await left.retry().result;
    assert.deepEqual(texts(world.server, world.chat.id), ["maybe"]);
  });

  it("is bounded", async () => {
    await using world = await createChat();
    await world.server.stop();
    for (let index = 0; index < OUTBOX_MESSAGES_MAX; index++) world.chat.send(`${index}`);
    assert.throws(() => world.chat.send("one more"), isReason("OUTBOX_FULL"));
  });

  it("is not shared with the next person who signs in here", async () => {
    const storage = createKeptStorage();
    await using world = await createChat({ storage });
    world.server.sessions.faults.refuseSend = () => refusal(Code.Unavailable, "UNAVAILABLE", "No.");
    await world.ana.disconnect();
    world.chat.send("mine");
    await world.ana.close();
    world.server.sessions.faults.refuseSend = undefined;
    await using next = createTestClient(world.server, { storage });
    await next.signUp({ username: "eve", password: "correct horse" });
    assert.deepEqual(next.outbox.list(), []);
    assert.equal(next.conversation(world.chat.id).position, 0n);
    const { sends, timelines } = await storage.load();
    assert.deepEqual([sends.length, timelines.length], [0, 0]);
  });
});

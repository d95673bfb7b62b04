import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import { createDeferred } from "../async/deferred.ts";
import { createMemoryStorage } from "../storage/memory-storage.ts";
import { createTimelineStore } from "../sync/timeline-store.ts";
import { connectPerson, nextEvent, quickTiming } from "../testing/people.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import { createReceipts } from "./receipts.ts";
import { createTyping } from "./typing.ts";

const ofConversation = (server: TestServer, id: string) =>
  server.sessions.receipts.filter((receipt) => receipt.conversationId === id);

/** Resolves when the server has a receipt that satisfies the condition. */
async function receiptSeen(
  server: TestServer,
  condition: (receipt: { readonly deliveredSeq: bigint; readonly readSeq: bigint }) => boolean,
): Promise<void> {
  while (!server.sessions.receipts.some(condition)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe("receipts", () => {
  it("of delivery are coalesced: one at once, then one per interval", async () => {
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    await using ana = await connectPerson(server, "ana");
    const chat = await bob.openDirect(ana.userId);
    for (let number = 0; number < 50; number++) chat.send(`${number}`);
    await receiptSeen(server, ({ deliveredSeq }) => deliveredSeq === 51n);
    const receipts = ofConversation(server, chat.id);
    assert.ok(receipts.length >= 2 && receipts.length <= 10, `${receipts.length} receipts`);
  });

  it("of reading move forward only, and tell delivery too", async () => {
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    await using ana = await connectPerson(server, "ana");
    const chat = await bob.openDirect(ana.userId);
    await chat.send("one").result;
    await receiptSeen(server, ({ deliveredSeq }) => deliveredSeq === 2n);
    const read = nextEvent(bob, "receipt", (receipt) => receipt.readSeq === 2n);
    const own = ana.conversation(chat.id);
    own.markRead();
    await read;
    assert.equal(own.readSeq, 2n);
    const before = ofConversation(server, chat.id).length;
    own.markRead(1n);
    own.markRead();
    assert.equal(own.readSeq, 2n);
    await chat.send("two").result;
    await receiptSeen(server, ({ deliveredSeq }) => deliveredSeq === 3n);
    assert.equal(ofConversation(server, chat.id).length, before + 1);
  });

  it("of entries that are gone confirm nothing of those that took their places", async () => {
    const { write } = createMemoryStorage();
    const store = createTimelineStore({ storage: { write }, onFailure: assert.ifError });
    const sent: bigint[] = [];
    const answers = [createDeferred<void>(), createDeferred<void>()];
    const second = createDeferred<void>();
    const receipts = createReceipts({
      store,
      update: ({ deliveredSeq }) => {
        if (sent.push(deliveredSeq) === 2) second.resolve();
        return answers[sent.length - 1]?.promise ?? Promise.resolve();
      },
      isOnline: () => true,
      intervalMs: 0,
      now: Date.now,
    });
    const position = { messageId: 0n, holes: [] };
    store.put("c", { ...position, position: 9n }, []);
    receipts.delivered("c");
    while (sent.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    store.rewind("c", { ...position, position: 5n });
    receipts.onReplaced("c");
    store.put("c", { ...position, position: 6n }, []);
    answers[0]?.resolve();
    await second.promise;
    assert.deepEqual(sent, [9n, 6n]);
    receipts.close();
    answers[1]?.resolve();
  });

  it("that were never confirmed are sent again after a restart", async () => {
    const storage = { ...createMemoryStorage(), close: async () => {} };
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    const ana = await connectPerson(server, "ana", { storage });
    const shown = nextEvent(ana, "message", (entry) => entry.seq === 2n);
    const chat = await bob.openDirect(ana.userId);
    await chat.send("one").result;
    await shown;
    await ana.disconnect();
    ana.conversation(chat.id).markRead();
    await ana.close();
    assert.ok(ofConversation(server, chat.id).every(({ readSeq }) => readSeq === 0n));
    await using _again = await connectPerson(server, "ana", { storage });
    await receiptSeen(server, ({ readSeq }) => readSeq === 2n);
  });

  it("of another device of the same person count here", async () => {
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    await using ana = await connectPerson(server, "ana");
    await using tablet = await connectPerson(server, "ana");
    const shown = nextEvent(tablet, "message", (entry) => entry.seq === 2n);
    const chat = await bob.openDirect(ana.userId);
    await chat.send("one").result;
    await shown;
    const told = nextEvent(tablet, "receipt", (r) => r.userId === ana.userId && r.readSeq === 2n);
    ana.conversation(chat.id).markRead(2n);
    await told;
    assert.equal(tablet.conversation(chat.id).readSeq, 2n);
  });
});

describe("typing", () => {
  it("is told at most once per interval, and ends at once or by itself", async () => {
    let nowMs = 0;
    const sent: boolean[] = [];
    const heard: boolean[] = [];
    const expired = Promise.withResolvers<void>();
    const typing = createTyping({
      send: (_conversationId, on) => sent.push(on),
      onChange: (event) => {
        heard.push(event.typing);
        if (heard.length === 4) expired.resolve();
      },
      intervalMs: 3_000,
      expiryMs: 30,
      now: () => nowMs,
    });
    typing.notify("c", false);
    for (nowMs = 0; nowMs < 6_000; nowMs += 100) typing.notify("c", true);
    typing.notify("c", false);
    typing.notify("c", false);
    typing.notify("c", true);
    assert.deepEqual(sent, [true, true, false, true]);

    const notice = { conversationId: "c", userId: "bob" };
    typing.onNotice({ ...notice, typing: true });
    typing.onNotice({ ...notice, typing: true });
    typing.onMessage("c", "bob");
    typing.onNotice({ ...notice, typing: false });
    assert.deepEqual(heard, [true, false]);
    typing.onNotice({ ...notice, typing: true });
    await expired.promise;
    assert.deepEqual(heard, [true, false, true, false]);
    typing.close();
  });
});

describe("presence", () => {
  it("is watched again in a new session", async () => {
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    await using ana = await connectPerson(server, "ana", { timing: quickTiming });
    const online = nextEvent(ana, "presence", (p) => p.status === PresenceStatus.ONLINE);
    await ana.watchPresence([bob.userId]);
    await online;
    const again = nextEvent(ana, "caughtUp");
    server.sessions.cutAll();
    await again;
    const offline = nextEvent(ana, "presence", (p) => p.status === PresenceStatus.OFFLINE);
    await bob.disconnect();
    await offline;
    assert.equal(ana.presenceOf(bob.userId)?.status, PresenceStatus.OFFLINE);
  });
});

describe("lists", () => {
  it("of members, receipts and the inbox are read whole", async () => {
    await using server = await startTestServer();
    await using bob = await connectPerson(server, "bob");
    await using ana = await connectPerson(server, "ana");
    const group = await bob.createGroup("Team", [ana.userId]);
    await group.send("hello").result;
    assert.deepEqual(
      (await group.members()).map(({ userId }) => userId),
      [bob.userId, ana.userId],
    );
    ana.conversation(group.id).markRead(2n);
    await receiptSeen(server, ({ readSeq }) => readSeq === 2n);
    assert.ok((await group.receipts()).some((r) => r.userId === ana.userId && r.readSeq === 2n));
    const inbox: string[] = [];
    for await (const { conversationId } of ana.listInbox()) inbox.push(conversationId);
    assert.deepEqual(inbox, [group.id]);
    const { preferences } = await ana.conversations.updatePreferences({
      conversationId: group.id,
      muteUntilTime: timestampFromMs(Date.now() + 60_000),
    });
    assert.equal(preferences?.conversationId, group.id);
  });
});

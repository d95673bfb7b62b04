/** What every inbox store does; run by each adapter. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import fc from "fast-check";
import {
  type Conversation,
  changeMembers,
  type Head,
  NO_HEAD,
  NO_MEMBERS,
} from "./domain/conversation.ts";
import type { RowChange } from "./domain/inbox-row.ts";
import { type InboxStore, type InboxWrite, PageTokenError, StoreClosedError } from "./ports.ts";

export type InboxStoreFixture = AsyncDisposable & {
  readonly store: InboxStore;
  /** Ends the store and opens it again on the same data. */
  reopen(): Promise<InboxStore>;
};

const uuid = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

function headAt(seq: number, messageId = seq): Head {
  return {
    seq: BigInt(seq),
    messageId: BigInt(messageId),
    unreadOrdinal: BigInt(seq - 1),
    offset: BigInt(seq + 1000),
  };
}

/** A group at `seq` whose members joined with its first entry. */
function groupAt(number: number, userIds: readonly string[], head: Head): InboxWrite {
  const conversationId = uuid(number);
  const change = { version: 1n, seq: 1n, joined: userIds, left: [] };
  const members = changeMembers(NO_MEMBERS, change);
  const conversation = { conversationId, kind: ConversationKind.GROUP, head, members };
  const rows = userIds.map(
    (userId): RowChange => ({ kind: "joined", userId, seq: 1n, unreadOrdinal: 0n }),
  );
  return { conversationId, conversation, rows };
}

const read = (userId: string, seq: number): RowChange => ({
  kind: "read",
  userId,
  readSeq: BigInt(seq),
  readUnreadOrdinal: BigInt(seq - 1),
});

async function writeAll(store: InboxStore, ...writes: readonly InboxWrite[]): Promise<void> {
  const written = writes.map((write) => store.write(write));
  await Promise.all(written.map(({ visible }) => visible));
}

/** Every conversation id of a person's inbox, page by page; `between` runs after each page. */
async function readPages(
  store: InboxStore,
  userId: string,
  limit: number,
  between: (page: number) => Promise<void> = async () => undefined,
): Promise<string[][]> {
  const pages: string[][] = [];
  let token = "";
  for (let page = 0; page === 0 || token !== ""; page++) {
    const items = await store.listByNewest(userId, token, limit);
    pages.push(items.map(({ conversationId }) => conversationId));
    token = items.at(-1)?.nextPageToken ?? "";
    await between(page);
  }
  return pages;
}

export function runInboxStoreContract(
  name: string,
  create: () => Promise<InboxStoreFixture>,
): void {
  describe(`the inbox store on ${name}`, () => {
    it("shows a write as soon as it is visible, with its members", async () => {
      await using fixture = await create();
      const { store } = fixture;
      await writeAll(store, groupAt(1, ["ann", "bob"], headAt(3)));
      const conversation = await store.readConversation(uuid(1));
      assert.deepEqual(conversation?.members.userIds, ["ann", "bob"]);
      assert.deepEqual(conversation?.head, headAt(3));
      const [item] = await store.listByConversation("bob", "", 10);
      assert.deepEqual(item, {
        conversationId: uuid(1),
        firstSeq: 1n,
        member: true,
        lastSeq: 3n,
        lastMessageId: 3n,
        readSeq: 0n,
        unreadCount: 2n,
      });
      assert.equal(await store.readConversation(uuid(2)), undefined);
      assert.deepEqual(await store.listByConversation("cid", "", 10), []);
    });

    it("keeps everything that was durable", async () => {
      await using fixture = await create();
      const write = groupAt(1, ["ann", "bob"], headAt(3));
      await fixture.store.write(write).durable;
      await fixture.store.write({ conversationId: uuid(1), rows: [read("ann", 2)] }).durable;
      const before = await fixture.store.listByNewest("ann", "", 10);
      const store = await fixture.reopen();
      assert.deepEqual(await store.readConversation(uuid(1)), write.conversation);
      assert.deepEqual(await store.listByNewest("ann", "", 10), before);
      assert.equal(before[0]?.readSeq, 2n);
    });

    it("never takes a head, members or a read position back", async () => {
      await using fixture = await create();
      const { store } = fixture;
      const newer = groupAt(1, ["ann", "bob"], headAt(9));
      const older = { ...groupAt(1, ["ann"], headAt(4)), rows: [read("ann", 2)] };
      await writeAll(store, newer, { conversationId: uuid(1), rows: [read("ann", 8)] }, older);
      const [item] = await store.listByConversation("ann", "", 10);
      assert.equal(item?.lastSeq, 9n);
      assert.equal(item?.readSeq, 8n);
      const conversation = await store.readConversation(uuid(1));
      assert.deepEqual(conversation?.members.userIds, ["ann", "bob"]);
    });

    it("takes newer members with an older head, and keeps the head", async () => {
      await using fixture = await create();
      const { store } = fixture;
      await writeAll(store, groupAt(1, ["ann"], headAt(9)));
      const later = groupAt(1, ["ann"], headAt(4));
      assert.ok(later.conversation !== undefined);
      const change = { version: 2n, seq: 4n, joined: ["bob"], left: [] };
      const members = changeMembers(later.conversation.members, change);
      await writeAll(store, { ...later, conversation: { ...later.conversation, members } });
      const conversation = await store.readConversation(uuid(1));
      assert.deepEqual(conversation?.head, headAt(9));
      assert.deepEqual(conversation?.members.userIds, ["ann", "bob"]);
    });

    it("ends at the same state whatever the order of heads, also across a restart", async () => {
      const seqs = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 });
      await fc.assert(
        fc.asyncProperty(seqs, fc.nat({ max: 20 }), async (order, restartAt) => {
          await using fixture = await create();
          let { store } = fixture;
          let highest = 0;
          for (const [index, seq] of order.entries()) {
            if (index === restartAt) store = await fixture.reopen();
            const { visible, durable } = store.write(groupAt(1, ["ann"], headAt(seq)));
            await visible;
            await durable;
            highest = Math.max(highest, seq);
            const [item] = await store.listByConversation("ann", "", 1);
            assert.equal(item?.lastSeq, BigInt(highest));
          }
        }),
        { numRuns: 20 },
      );
    });

    it("lists by conversation id in pages", async () => {
      await using fixture = await create();
      const { store } = fixture;
      const numbers = [5, 3, 9, 1, 7];
      await writeAll(store, ...numbers.map((n) => groupAt(n, ["ann"], headAt(n))));
      await store.write(groupAt(2, ["ann"], headAt(1))).durable;
      await writeAll(store, groupAt(4, ["ann", "annabel"], headAt(1)));
      const first = await store.listByConversation("ann", "", 4);
      const ids = first.map(({ conversationId }) => conversationId);
      assert.deepEqual(ids, [1, 2, 3, 4].map(uuid));
      const second = await store.listByConversation("ann", uuid(4), 10);
      assert.deepEqual(
        second.map(({ conversationId }) => conversationId),
        [5, 7, 9].map(uuid),
      );
    });

    it("lists the newest entry first, and a person who left where they left", async () => {
      await using fixture = await create();
      const { store } = fixture;
      await writeAll(
        store,
        groupAt(1, ["ann"], headAt(2, 200)),
        groupAt(2, ["ann"], headAt(2, 400)),
        groupAt(3, ["ann", "bob"], headAt(2, 300)),
      );
      const left = { seq: 3n, messageId: 350n, unreadOrdinal: 1n };
      await writeAll(store, {
        conversationId: uuid(3),
        rows: [{ kind: "left", userId: "ann", ...left }],
      });
      await writeAll(store, groupAt(3, ["bob"], headAt(9, 900)));
      const items = await store.listByNewest("ann", "", 10);
      assert.deepEqual(
        items.map(({ conversationId }) => conversationId),
        [2, 3, 1].map(uuid),
      );
      assert.equal(items[1]?.lastSeq, 3n);
      assert.equal(items[1]?.member, false);
      assert.equal(items.at(-1)?.nextPageToken, "");
    });

    it("gives every conversation to who reads pages while entries move up", async () => {
      await using fixture = await create();
      const { store } = fixture;
      const numbers = Array.from({ length: 10 }, (_, index) => index + 1);
      await writeAll(store, ...numbers.map((n) => groupAt(n, ["ann"], headAt(2, n * 100))));
      const pages = await readPages(store, "ann", 3, async (page) => {
        // What is at the bottom moves to the top, past the reader.
        if (page < 3) await writeAll(store, groupAt(page + 1, ["ann"], headAt(5, 5000 + page)));
      });
      const seen = new Set(pages.flat());
      assert.deepEqual([...seen].toSorted(), numbers.map(uuid));
    });

    it("gives what moved past the reader when nothing else is left", async () => {
      await using fixture = await create();
      const { store } = fixture;
      await writeAll(store, ...[1, 2, 3, 4].map((n) => groupAt(n, ["ann"], headAt(2, n * 100))));
      const pages = await readPages(store, "ann", 3, async (page) => {
        if (page === 0) await writeAll(store, groupAt(1, ["ann"], headAt(5, 5000)));
      });
      assert.deepEqual(new Set(pages.flat()), new Set([1, 2, 3, 4].map(uuid)));
    });

    it("gives an inbox that stands still once, in pages of any size", async () => {
      await using fixture = await create();
      const { store } = fixture;
      const numbers = Array.from({ length: 10 }, (_, index) => index + 1);
      await writeAll(store, ...numbers.map((n) => groupAt(n, ["ann"], headAt(2, n * 100))));
      for (const limit of [1, 3, 5, 10, 11]) {
        const pages = await readPages(store, "ann", limit);
        assert.deepEqual(pages.flat(), numbers.toReversed().map(uuid));
        assert.equal(pages.length, Math.ceil(10 / limit));
      }
      assert.deepEqual(await store.listByNewest("bob", "", 3), []);
    });

    it("continues after any item of a page", async () => {
      await using fixture = await create();
      const { store } = fixture;
      await writeAll(store, ...[1, 2, 3].map((n) => groupAt(n, ["ann"], headAt(2, n * 100))));
      const [first] = await store.listByNewest("ann", "", 3);
      const rest = await store.listByNewest("ann", first?.nextPageToken ?? "", 3);
      assert.deepEqual(
        rest.map(({ conversationId }) => conversationId),
        [2, 1].map(uuid),
      );
    });

    it("refuses tokens that it did not make", async () => {
      await using fixture = await create();
      const { store } = fixture;
      const made = (text: string) => Buffer.from(text).toString("base64url");
      for (const token of ["x", made("newest 1"), made("moved -1"), made("moved 1 2"), "🙂"]) {
        await assert.rejects(store.listByNewest("ann", token, 1), PageTokenError);
      }
    });

    it("keeps the identity of its log", async () => {
      await using fixture = await create();
      assert.equal(await fixture.store.readIdentity(), undefined);
      await fixture.store.writeIdentity({ epoch: uuid(7), partitionCount: 16 });
      const store = await fixture.reopen();
      assert.deepEqual(await store.readIdentity(), { epoch: uuid(7), partitionCount: 16 });
    });

    it("keeps how far it reaches into the log, and never takes that back", async () => {
      await using fixture = await create();
      const identity = { epoch: uuid(7), partitionCount: 1 };
      await fixture.store.writeIdentity(identity);
      assert.equal(await fixture.store.readPlace(0), undefined);
      await writeAll(fixture.store, groupAt(1, ["ann"], headAt(9)), groupAt(2, ["ann"], headAt(3)));
      await fixture.store.saveReplayOffset(0, 5);
      await fixture.store.saveReplayOffset(0, 4);
      const place = { replayOffset: 5, headsEndOffset: 1010 };
      assert.deepEqual(await fixture.store.readPlace(0), place);
      const store = await fixture.reopen();
      assert.deepEqual(await store.readPlace(0), place);
      await store.write(groupAt(1, ["ann"], headAt(10))).durable;
      const reopened = await fixture.reopen();
      assert.deepEqual(await reopened.readPlace(0), { ...place, headsEndOffset: 1011 });
      assert.equal(await reopened.readPlace(1), undefined);
    });

    it("is durable about nothing after it was closed", async () => {
      await using fixture = await create();
      await fixture.store[Symbol.asyncDispose]();
      await assert.rejects(fixture.store.saveReplayOffset(0, 1), StoreClosedError);
      const { durable } = fixture.store.write(groupAt(1, ["ann"], headAt(1)));
      await assert.rejects(durable, StoreClosedError);
    });

    it("keeps 500 members with their times, and who left", async () => {
      await using fixture = await create();
      const people = Array.from({ length: 500 }, (_, index) => uuid(index));
      let members = changeMembers(NO_MEMBERS, { version: 1n, seq: 1n, joined: people, left: [] });
      members = changeMembers(members, { version: 2n, seq: 7n, joined: ["é"], left: [uuid(3)] });
      const conversation: Conversation = {
        ...{ conversationId: uuid(1), kind: ConversationKind.GROUP, head: NO_HEAD, members },
      };
      const write = { conversationId: uuid(1), conversation: { ...conversation, head: headAt(7) } };
      await fixture.store.write({ ...write, rows: [] }).durable;
      const store = await fixture.reopen();
      assert.deepEqual(await store.readConversation(uuid(1)), write.conversation);
    });
  });
}

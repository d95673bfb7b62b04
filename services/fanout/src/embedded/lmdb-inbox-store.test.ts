import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ConversationKind } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { changeMembers, NO_MEMBERS } from "../domain/conversation.ts";
import { type InboxStoreFixture, runInboxStoreContract } from "../ports.contract.ts";
import type { InboxStore } from "../ports.ts";
import { InboxOpenError } from "./inbox-tables.ts";
import { createLmdbInboxStore } from "./lmdb-inbox-store.ts";

async function createFixture(membershipsCachedMax = 100): Promise<InboxStoreFixture> {
  const directory = await mkdtemp(join(tmpdir(), "parley-inbox-"));
  const open = () => createLmdbInboxStore({ directory, membershipsCachedMax, commitDelayMs: 1 });
  let store = open();
  return {
    store,
    async reopen() {
      await store[Symbol.asyncDispose]();
      store = open();
      return store;
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

runInboxStoreContract("LMDB", () => createFixture());

function write(store: InboxStore, number: number, seq: number) {
  const conversationId = `conversation ${number}`;
  const userIds = ["ann", `user ${number}`];
  const members = changeMembers(NO_MEMBERS, { version: 1n, seq: 1n, joined: userIds, left: [] });
  const place = BigInt(seq);
  const head = { seq: place, messageId: place, unreadOrdinal: place, offset: place };
  return store.write({
    conversationId,
    conversation: { conversationId, kind: ConversationKind.GROUP, head, members },
    rows: userIds.map((userId) => ({ kind: "joined", userId, seq: 1n, unreadOrdinal: 0n })),
  });
}

test("conversations that no longer fit into memory are read from the file", async () => {
  await using fixture = await createFixture(8);
  const { store } = fixture;
  const written = Array.from({ length: 50 }, (_, number) => write(store, number, number + 1));
  await Promise.all(written.map(({ durable }) => durable));
  for (let number = 0; number < 50; number++) {
    const conversation = await store.readConversation(`conversation ${number}`);
    assert.equal(conversation?.head.seq, BigInt(number + 1));
    assert.deepEqual(conversation?.members.userIds, ["ann", `user ${number}`]);
  }
});

test("what was evicted from memory before it was written is still seen", async () => {
  await using fixture = await createFixture(8);
  const { store } = fixture;
  for (let number = 0; number < 50; number++) write(store, number, 1);
  for (let number = 0; number < 50; number++) {
    const conversation = await store.readConversation(`conversation ${number}`);
    assert.equal(conversation?.head.seq, 1n);
  }
  assert.equal((await store.listByConversation("ann", "", 100)).length, 50);
});

test("an inbox of several thousand conversations is listed in turns", async () => {
  await using fixture = await createFixture();
  const { store } = fixture;
  const written = Array.from({ length: 2500 }, (_, number) => write(store, number, number + 1));
  await Promise.all(written.map(({ durable }) => durable));
  const items = await store.listByNewest("ann", "", 3);
  assert.deepEqual(
    items.map(({ lastSeq }) => lastSeq),
    [2500n, 2499n, 2498n],
  );
});

test("many writes of one conversation reach the disk as one", async () => {
  await using fixture = await createFixture();
  const { store } = fixture;
  const written = Array.from({ length: 1000 }, (_, seq) => write(store, 1, seq + 1));
  assert.equal(new Set(written.map(({ durable }) => durable)).size, 1);
  await written[0]?.durable;
  assert.equal((await store.readConversation("conversation 1"))?.head.seq, 1000n);
});

test("only the owner can read what is in it", async () => {
  const parent = await mkdtemp(join(tmpdir(), "parley-inbox-"));
  const directory = join(parent, "fan.out");
  await using _store = createLmdbInboxStore({ directory, membershipsCachedMax: 100 });
  const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
  assert.equal(await modeOf(directory), 0o700);
  assert.deepEqual((await readdir(directory)).toSorted(), ["data.mdb", "lock.mdb"]);
  for (const name of await readdir(directory)) {
    assert.equal(await modeOf(join(directory, name)), 0o600, name);
  }
  await rm(parent, { recursive: true, force: true });
});

test("a directory that cannot be used is named, with its variable", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-inbox-"));
  const taken = join(directory, "fanout");
  await writeFile(taken, "a file");
  assert.throws(
    () => createLmdbInboxStore({ directory: taken, membershipsCachedMax: 100 }),
    (error) =>
      error instanceof InboxOpenError &&
      error.message.includes(taken) &&
      error.message.includes("PARLEY_DATA_DIRECTORY"),
  );
  await rm(directory, { recursive: true, force: true });
});

test("a damaged file is refused by name, with what to do", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-inbox-"));
  const file = join(directory, "data.mdb");
  await writeFile(file, Buffer.alloc(16_384));
  assert.throws(
    () => createLmdbInboxStore({ directory, membershipsCachedMax: 100 }),
    (error) =>
      error instanceof InboxOpenError &&
      error.message.includes(`${file} is damaged`) &&
      error.message.includes("move this directory and the message store's aside"),
  );
  await rm(directory, { recursive: true, force: true });
});

test("what was durable survives kill -9, head and row alike", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-inbox-"));
  const script = new URL("../testing/write-heads.ts", import.meta.url);
  for (let round = 1; round <= 3; round++) {
    const writer = fork(script, [directory], { stdio: ["ignore", "ignore", "ignore", "ipc"] });
    let durable = 0;
    writer.on("message", (seq: number) => {
      durable = Math.max(durable, seq);
      if (seq >= round * 20) writer.kill("SIGKILL");
    });
    await once(writer, "exit");
    await using store = createLmdbInboxStore({ directory, membershipsCachedMax: 1000 });
    const [item] = await store.listByConversation("ann", "", 1);
    assert.ok(Number(item?.lastSeq) >= durable && durable >= round * 20);
    assert.equal(item?.readSeq, item?.lastSeq, "written together");
    assert.deepEqual((await store.readConversation("conversation"))?.members.userIds, [
      "ann",
      "bob",
    ]);
  }
  await rm(directory, { recursive: true, force: true });
});

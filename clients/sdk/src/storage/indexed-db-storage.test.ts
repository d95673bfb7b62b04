// `fake-indexeddb` is an implementation of the IndexedDB specification in JavaScript, tested with the web
// platform's own tests; in a browser the same adapter runs on the browser's.
import assert from "node:assert/strict";
import { it } from "node:test";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import { describeClientStorage } from "./client-storage.contract.ts";
import { openIndexedDbStorage } from "./indexed-db-storage.ts";

function createEnvironment() {
  return { indexedDB: new IDBFactory(), IDBKeyRange };
}

describeClientStorage("IndexedDB", async () => {
  const environment = createEnvironment();
  return {
    durable: true,
    open: (options) => openIndexedDbStorage({ name: "test", environment, ...options }),
    async [Symbol.asyncDispose]() {},
  };
});

it("reads what a version without message ids wrote", async () => {
  const environment = createEnvironment();
  const storage = await openIndexedDbStorage({ name: "test", environment });
  const timeline = {
    conversationId: "c",
    position: 7n,
    holes: [],
    readSeq: 7n,
    confirmedReadSeq: 7n,
    confirmedDeliveredSeq: 7n,
  };
  await storage.write({ timelines: [timeline] });
  assert.deepEqual((await storage.load()).timelines, [timeline]);
  await storage.write({ timelines: [{ ...timeline, position: 8n, messageId: 99n }] });
  assert.equal((await storage.load()).timelines[0]?.messageId, 99n);
  await storage.close();
});

it("lets two tabs share a database: neither moves the other's position back", async () => {
  const environment = createEnvironment();
  const first = await openIndexedDbStorage({ name: "test", environment });
  const second = await openIndexedDbStorage({ name: "test", environment });
  const timeline = {
    conversationId: "c",
    holes: [],
    readSeq: 0n,
    confirmedReadSeq: 0n,
    confirmedDeliveredSeq: 0n,
  };
  await Promise.all([
    first.write({ timelines: [{ ...timeline, position: 7n }], settings: { a: "1" } }),
    second.write({ timelines: [{ ...timeline, position: 5n }], settings: { b: "2" } }),
  ]);
  const { timelines, settings } = await second.load();
  assert.equal(timelines[0]?.position, 7n);
  assert.deepEqual(settings, { a: "1", b: "2" });
  await first.close();
  await second.close();
});

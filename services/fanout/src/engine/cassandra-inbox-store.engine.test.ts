import { after } from "node:test";
import { type InboxStoreFixture, runInboxStoreContract } from "../ports.contract.ts";
import { type CassandraMedium, createCassandraMedium } from "../testing/cassandra-medium.ts";

let medium: Promise<CassandraMedium> | undefined;
after(async () => (await medium)?.[Symbol.asyncDispose]());

async function createFixture(): Promise<InboxStoreFixture> {
  medium ??= createCassandraMedium();
  const { open, wipe } = await medium;
  let store = await open();
  return {
    store,
    async reopen() {
      await store[Symbol.asyncDispose]();
      store = await open();
      return store;
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await wipe();
    },
  };
}

runInboxStoreContract("Cassandra", createFixture);

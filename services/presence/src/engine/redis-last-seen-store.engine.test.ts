import { openTestRedis } from "@parley/platform/storage/engine/testing/test-redis";
import { runLastSeenStoreContract } from "../ports.contract.ts";
import { createRedisLastSeenStore } from "./redis-last-seen-store.ts";

async function createFixture() {
  const testRedis = await openTestRedis();
  const { connection } = testRedis;
  const open = () => createRedisLastSeenStore({ connection });
  let store = open();
  return {
    store,
    testRedis,
    async reopen() {
      await store[Symbol.asyncDispose]();
      store = open();
      return store;
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await testRedis[Symbol.asyncDispose]();
    },
  };
}

runLastSeenStoreContract("Redis", createFixture);

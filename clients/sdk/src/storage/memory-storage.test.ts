import { describeClientStorage } from "./client-storage.contract.ts";
import { createMemoryStorage } from "./memory-storage.ts";

describeClientStorage("memory", async () => ({
  durable: false,
  open: async (options) => createMemoryStorage(options),
  async [Symbol.asyncDispose]() {},
}));

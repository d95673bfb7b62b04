import { messageStoreContract } from "../ports.contract.ts";
import { createModelDisk, createModelStore } from "./model-store.ts";

messageStoreContract("The model store", async () => {
  const disk = createModelDisk();
  return {
    open: async () => {
      const store = createModelStore({
        disk,
        beforeStep: () => undefined,
        random: () => 0.5,
      });
      // Everything is on this disk as soon as it is written.
      return Object.assign(store, {
        write: (batch: Parameters<typeof store.write>[0]) => {
          const written = Object.getPrototypeOf(store).write.call(store, batch);
          return { ...written, durable: written.readable.then(() => disk.flush()) };
        },
      });
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
});

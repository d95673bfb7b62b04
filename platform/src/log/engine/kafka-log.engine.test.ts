import { logContract } from "../port.contract.ts";
import { createTestLog } from "./test-log.ts";

const QUEUE_BYTES_MAX = 1024 * 1024;

logContract("kafka log", async () => {
  const testLog = createTestLog({ queueBytesMax: QUEUE_BYTES_MAX, commitDelayMs: 1 });
  let log = await testLog.open();
  return {
    log,
    queueBytesMax: QUEUE_BYTES_MAX,
    reopen: async () => {
      await log[Symbol.asyncDispose]();
      log = await testLog.open();
      return log;
    },
    dispose: async () => {
      await log[Symbol.asyncDispose]();
      await testLog.remove();
    },
  };
});

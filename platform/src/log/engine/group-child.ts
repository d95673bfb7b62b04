/**
 * A process for tests to kill: `node group-child.ts <prefix> <topic> <group>` takes its share of a group and
 * prints each partition that it gets.
 */
import { argv, stdout } from "node:process";
import { createTestLog } from "./test-log.ts";

const [, , prefix = "", topic = "", group = ""] = argv;

const log = await createTestLog({ prefix, sessionTimeoutMs: 6000 }).open();
await log.consume({
  topic,
  group,
  onAssigned: async (partition) => {
    stdout.write(`${partition}\n`);
    return undefined;
  },
  onBatch: async () => {},
});

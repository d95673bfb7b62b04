/**
 * A process for tests to kill: `node crash-child.ts <directory> <writers>` appends to the log in the
 * directory for as long as it lives and prints every acknowledged position, "partition offset value".
 */
import { argv, stdout } from "node:process";
import { createSegmentLog } from "./segment-log.ts";

const [, , directory = "", writers = "1"] = argv;

const log = await createSegmentLog({
  directory,
  partitionCount: 4,
  segmentBytesMax: 64 * 1024, // So that the kill also hits the change from one segment to the next.
  onProblem: ({ message }) => {
    throw new Error(message);
  },
});

async function write(writer: number): Promise<void> {
  for (let i = 0; ; i++) {
    const value = `${writer}/${i}/${"x".repeat(i % 300)}`;
    const { partition, offset } = await log.append("messages", writer % 4, Buffer.from(value));
    // Waits for a parent that reads slowly: the pipe is bounded.
    await new Promise((done) => stdout.write(`${partition} ${offset} ${value}\n`, done));
  }
}

await Promise.all(Array.from({ length: Number(writers) }, (_, writer) => write(writer)));

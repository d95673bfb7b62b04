/**
 * A process that commits to a disk that becomes full: its parent starts it with a limit to the size of files,
 * and lifts that when told that a commit failed.
 */
import { once } from "node:events";
import { createLmdbCommit, openLmdb } from "../lmdb.ts";

export type FullDiskReport =
  | { readonly event: "failed" }
  | {
      readonly event: "ended";
      /** Commits that succeeded before the disk was full; one more did afterwards. */
      readonly committed: number;
      readonly failures: number;
      readonly unhandled: number;
      /** Rows that were there while the disk was full. */
      readonly stored: number;
    };

const [directory = ""] = process.argv.slice(2);
const counts = { committed: 0, failures: 0, unhandled: 0, stored: 0 };
process.on("unhandledRejection", () => counts.unhandled++);
const root = openLmdb<string>(directory, { keys: "text", remedy: "restore it" });
const commit = createLmdbCommit(root);
const put = () => void root.put(`row ${counts.committed}`, Buffer.alloc(10_000));

while (counts.failures < 3) {
  try {
    await commit(put);
    counts.committed++;
  } catch {
    counts.failures++;
  }
}
counts.stored = root.getKeysCount({});
const lifted = once(process, "message");
process.send?.({ event: "failed" } satisfies FullDiskReport);
await lifted;
await commit(put);
await root.close();
await new Promise((resolve) => setImmediate(resolve));
process.send?.({ event: "ended", ...counts } satisfies FullDiskReport);
process.disconnect?.();

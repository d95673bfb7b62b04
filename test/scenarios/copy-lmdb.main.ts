/**
 * Copies LMDB stores that another process has open, each as it was after some transaction: what a disk may hold when the
 * power fails, since LMDB syncs whole transactions in order. Arguments: source and target, in pairs.
 */
import { mkdirSync } from "node:fs";
import { open } from "lmdb";

const paths = process.argv.slice(2);
for (let at = 0; at + 1 < paths.length; at += 2) {
  const [source, target] = [paths[at] ?? "", paths[at + 1] ?? ""];
  mkdirSync(target, { recursive: true });
  const store = open({ path: source, readOnly: true });
  await store.backup(target, false);
  await store.close();
}

/** May the data directory be written, is there space, and how long does a sync take? */
import { mkdtemp, open, rm, stat, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Finding, ok, problem, warning } from "./finding.ts";

/** A day of a busy team's text is well below this. */
const FREE_BYTES_MIN = 256 * 1024 ** 2;
const FREE_BYTES_COMFORTABLE = 2 * 1024 ** 3;
/** Every acknowledgement waits for a sync; above this a chat feels slow. */
const SYNC_MS_COMFORTABLE = 20;
/** Below this no disk really syncs: the medium is memory, or lies. */
const SYNC_MS_PLAUSIBLE = 0.02;
const SYNCS = 20;
const BLOCK_BYTES = 4096;

export async function checkDataDirectory(directory: string): Promise<readonly Finding[]> {
  const path = resolve(directory);
  // `parley serve` creates what is missing; what counts is the nearest directory that exists.
  const existing = await nearestExisting(path);
  const findings: Finding[] = [];
  let draft: string;
  try {
    draft = await mkdtemp(join(existing, ".parley-doctor-"));
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const remedy = "Give this user the right to write there, or set PARLEY_DATA_DIRECTORY.";
    return [problem(`The data directory ${path} cannot be written: ${text}`, remedy)];
  }
  try {
    findings.push(ok(`Data directory ${path}${existing === path ? "" : " (will be created)"}`));
    findings.push(await checkSpace(existing));
    findings.push(await checkSync(join(draft, "sync")));
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return findings;
}

async function nearestExisting(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  const parent = dirname(path);
  return found?.isDirectory() || parent === path ? path : nearestExisting(parent);
}

async function checkSpace(directory: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(directory);
  const freeBytes = bavail * bsize;
  const text = `${(freeBytes / 1024 ** 3).toFixed(1)} GiB free on disk`;
  if (freeBytes < FREE_BYTES_MIN) {
    return problem(text, "Make room: the server stops taking messages when the disk is full.");
  }
  if (freeBytes < FREE_BYTES_COMFORTABLE) {
    return warning(text, "Enough to begin with; watch it.");
  }
  return ok(text);
}

async function checkSync(path: string): Promise<Finding> {
  const file = await open(path, "w", 0o600);
  const times: number[] = [];
  try {
    const block = Buffer.alloc(BLOCK_BYTES, 1);
    for (let index = 0; index < SYNCS; index++) {
      const before = performance.now();
      await file.write(block);
      await file.datasync();
      times.push(performance.now() - before);
    }
  } finally {
    await file.close();
  }
  times.sort((a, b) => a - b);
  const medianMs = times[SYNCS / 2] ?? 0;
  const text = `A sync to disk takes ${medianMs.toFixed(2)} ms (median of ${SYNCS})`;
  if (medianMs > SYNC_MS_COMFORTABLE) {
    return warning(text, "Every message waits for one: a local SSD makes the chat quicker.");
  }
  if (medianMs < SYNC_MS_PLAUSIBLE) {
    return warning(text, "That is memory rather than a disk; do not keep messages there.");
  }
  return ok(text);
}

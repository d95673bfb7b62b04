import { fdatasync, ftruncate, write } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { AppendFile, SegmentFiles } from "./files.ts";
import { lockFile } from "./lock.ts";

/** Only the server's own account reads what people have written. */
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/** The real file system. */
export const nodeFiles: SegmentFiles = {
  createDirectory,
  lock: (path) => lockFile(path, FILE_MODE),
  list: (directory) => readdir(directory),
  size: async (path) => (await stat(path)).size,
  read,
  openAppend,
  rename,
  remove: (path) => rm(path, { force: true }),
  syncDirectory,
};

async function createDirectory(directory: string): Promise<void> {
  const wanted = resolve(directory);
  const firstCreated = await mkdir(wanted, { recursive: true, mode: DIRECTORY_MODE });
  if (firstCreated === undefined) return;
  const top = dirname(resolve(firstCreated));
  for (let at = wanted; at !== top; at = dirname(at)) await syncDirectory(dirname(at));
}

async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, "r");
  await handle.sync();
}

async function read(path: string, position: number, bytes: number): Promise<Buffer> {
  await using handle = await open(path, "r");
  const buffer = Buffer.allocUnsafeSlow(bytes);
  let filled = 0;
  while (filled < bytes) {
    const { bytesRead } = await handle.read(buffer, filled, bytes - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

async function openAppend(path: string): Promise<AppendFile> {
  // A bare descriptor with callbacks instead of a FileHandle: append and dataSync run once per batch.
  const handle = await open(path, "a", FILE_MODE);
  const fd = handle.fd;
  return {
    append: (bytes) => appendAll(fd, bytes),
    dataSync: () => settled((done) => fdatasync(fd, done)),
    truncate: (size) => settled((done) => ftruncate(fd, size, done)),
    close: () => handle.close(),
  };
}

function appendAll(fd: number, bytes: Uint8Array): Promise<void> {
  return new Promise((done, fail) => {
    let written = 0;
    const next = (): void => {
      // No position: the descriptor is in append mode. The kernel may take fewer bytes than asked.
      write(fd, bytes, written, bytes.byteLength - written, null, (error, count) => {
        if (error !== null) return fail(error);
        written += count;
        if (written < bytes.byteLength) return next();
        done();
      });
    };
    next();
  });
}

function settled(
  operation: (done: (error: NodeJS.ErrnoException | null) => void) => void,
): Promise<void> {
  return new Promise((done, fail) => {
    operation((error) => (error === null ? done() : fail(error)));
  });
}

import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { LogIdentity } from "../port.ts";
import { LogCorruptError, LogIdentityError } from "./errors.ts";
import type { SegmentFiles } from "./files.ts";
import { createDurableFile } from "./segments.ts";

const NAME = "identity.json";
const FORMAT = 1;
const IDENTITY_BYTES_MAX = 4096; // The file is some hundred bytes; more is not ours.

/** The identity in a directory; undefined when it has none. */
export async function readIdentity(
  files: SegmentFiles,
  directory: string,
  names: readonly string[],
): Promise<LogIdentity | undefined> {
  if (!names.includes(NAME)) return undefined;
  const bytes = await files.read(join(directory, NAME), 0, IDENTITY_BYTES_MAX);
  const identity = parse(bytes.toString("utf8"));
  if (identity === undefined) {
    throw new LogCorruptError(
      `${join(directory, NAME)} is damaged. It says which log this is, so the log is not opened. ` +
        "Restore the file from a backup of this directory.",
    );
  }
  return identity;
}

/** Makes a new identity durable: from here on the directory is a log. */
export async function createIdentity(
  files: SegmentFiles,
  directory: string,
  identity: LogIdentity,
  nowMs: number,
): Promise<void> {
  const content = { format: FORMAT, ...identity, createTime: new Date(nowMs).toISOString() };
  const bytes = Buffer.from(`${JSON.stringify(content, undefined, 2)}\n`);
  const file = await createDurableFile(files, directory, join(directory, NAME), bytes);
  await file.close();
}

/** A fresh identity. */
export function newIdentity(partitionCount: number): LogIdentity {
  return { epoch: randomUUID(), partitionCount };
}

/** Throws LogIdentityError unless the log in the directory has that many partitions. */
export function checkPartitionCount(
  identity: LogIdentity,
  partitionCount: number,
  directory: string,
): void {
  if (identity.partitionCount === partitionCount) return;
  throw new LogIdentityError(
    `The log in ${directory} has ${identity.partitionCount} partitions and was opened with ` +
      `${partitionCount}. The count is fixed when a log is created, because keys hash onto it. ` +
      `Configure ${identity.partitionCount}, or start with an empty directory and new stores.`,
  );
}

function parse(text: string): LogIdentity | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (!("format" in value && "epoch" in value && "partitionCount" in value)) return undefined;
  const { format, epoch, partitionCount } = value;
  if (format !== FORMAT || typeof epoch !== "string" || typeof partitionCount !== "number") {
    return undefined;
  }
  return { epoch, partitionCount };
}

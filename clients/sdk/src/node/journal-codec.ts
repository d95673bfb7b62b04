/**
 * How the journal writes batches down: one line each, UTF-8.
 *
 *     <first 8 hex digits of SHA-256(json)> <json>\n
 *
 * bigint → {"$n":"123"}, Uint8Array → {"$b":"base64"}. A line whose checksum does not fit is the torn end of a
 * write that a crash interrupted: nobody was told that it is stored.
 */
import { createHash } from "node:crypto";
import type { StorageBatch } from "../storage/client-storage.ts";

const CHECKSUM_CHARACTERS = 8;

function checksum(json: string): string {
  return createHash("sha256").update(json).digest("hex").slice(0, CHECKSUM_CHARACTERS);
}

/** One line of the journal, with its end of line. */
export function encodeLine(batch: StorageBatch): string {
  const json = JSON.stringify(batch, (_key, value: unknown) => {
    if (typeof value === "bigint") return { $n: value.toString() };
    if (value instanceof Uint8Array) return { $b: Buffer.from(value).toString("base64") };
    return value;
  });
  return `${checksum(json)} ${json}\n`;
}

/** The batches of a journal, and how many of its bytes are whole lines. */
export function decodeJournal(content: Buffer): {
  readonly batches: readonly StorageBatch[];
  readonly validBytes: number;
} {
  const batches: StorageBatch[] = [];
  let start = 0;
  for (;;) {
    const end = content.indexOf(0x0a, start);
    if (end < 0) break;
    const batch = decodeLine(content.toString("utf8", start, end));
    if (!batch) break;
    batches.push(batch);
    start = end + 1;
  }
  return { batches, validBytes: start };
}

function decodeLine(line: string): StorageBatch | undefined {
  const json = line.slice(CHECKSUM_CHARACTERS + 1);
  if (line.slice(0, CHECKSUM_CHARACTERS) !== checksum(json)) return undefined;
  return JSON.parse(json, (_key, value: unknown) => {
    if (typeof value !== "object" || value === null) return value;
    if ("$n" in value) return BigInt(String(value.$n));
    if ("$b" in value) return new Uint8Array(Buffer.from(String(value.$b), "base64"));
    return value;
  }) as StorageBatch;
}

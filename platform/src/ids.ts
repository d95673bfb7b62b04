/** Identifiers: UUIDv7 (RFC 9562), which sort by creation time and therefore keep indexes compact. */
import { randomFillSync } from "node:crypto";

/** Random bytes are drawn from the system in blocks of 256 ids, because one draw per id costs a system call. */
const POOL_BYTES = 256 * 10;
const pool = new Uint8Array(POOL_BYTES);
let poolOffset = POOL_BYTES;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function randomByte(): number {
  if (poolOffset === POOL_BYTES) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  const byte = pool[poolOffset] as number;
  // A used byte is wiped, so that a memory dump does not hold ids to come twice over.
  pool[poolOffset++] = 0;
  return byte;
}

/**
 * A new UUIDv7 in lower-case canonical form: 48 bits of `nowMs`, version, variant, 74 random bits. Two
 * ids of the same millisecond have no order.
 */
export function newUuid(nowMs: number = Date.now()): string {
  const hex = (byte: number) => HEX[byte & 0xff] as string;
  const high = Math.floor(nowMs / 0x10000);
  const time =
    hex(high >>> 24) +
    hex(high >>> 16) +
    hex(high >>> 8) +
    hex(high) +
    "-" +
    hex((nowMs % 0x10000) >>> 8) +
    hex(nowMs % 0x100);
  const version = hex(0x70 | (randomByte() & 0x0f)) + hex(randomByte());
  const variant = hex(0x80 | (randomByte() & 0x3f)) + hex(randomByte());
  let node = "";
  for (let index = 0; index < 6; index++) node += hex(randomByte());
  return `${time}-${version}-${variant}-${node}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether the text is a UUID of any version in lower-case canonical form. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** The value of each lower-case hexadecimal digit by its character code; -1 for everything else. */
const NIBBLES = new Int8Array(128).fill(-1);
for (let value = 0; value < 16; value++) NIBBLES[value.toString(16).charCodeAt(0)] = value;

/** Where each byte's two digits stand in the canonical form. */
const DIGITS_AT = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;
const DASHES_AT = [8, 13, 18, 23] as const;
const DASH = 0x2d;

/**
 * The 16 bytes of a UUID. Throws a `RangeError` for anything else. Every stored key has one or two, so it looks at each
 * character once and makes no text.
 */
export function uuidToBytes(uuid: string): Uint8Array {
  const bytes = new Uint8Array(16);
  let wrong = uuid.length === 36 ? 0 : -1;
  for (const at of DASHES_AT) if (uuid.charCodeAt(at) !== DASH) wrong = -1;
  for (let index = 0; index < 16; index++) {
    const at = DIGITS_AT[index] as number;
    const byte = (nibble(uuid, at) << 4) | nibble(uuid, at + 1);
    wrong |= byte;
    bytes[index] = byte;
  }
  if (wrong < 0) throw new RangeError("not a UUID in lower-case canonical form");
  return bytes;
}

function nibble(text: string, at: number): number {
  return NIBBLES[text.charCodeAt(at)] ?? -1;
}

/** The UUID of 16 bytes. Throws a `RangeError` for another length. */
export function uuidFromBytes(bytes: Uint8Array): string {
  if (bytes.length !== 16) throw new RangeError(`a UUID has 16 bytes, not ${bytes.length}`);
  let text = "";
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) text += "-";
    text += HEX[bytes[index] as number];
  }
  return text;
}

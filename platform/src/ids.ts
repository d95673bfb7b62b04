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

/** The 16 bytes of a UUID. Throws a `RangeError` for anything else. */
export function uuidToBytes(uuid: string): Uint8Array {
  if (!isUuid(uuid)) throw new RangeError("not a UUID in lower-case canonical form");
  const bytes = new Uint8Array(16);
  const digits = uuid.replaceAll("-", "");
  for (let index = 0; index < 16; index++) {
    bytes[index] = Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16);
  }
  return bytes;
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

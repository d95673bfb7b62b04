/**
 * Key → partition, as Kafka's default partitioner does it for keyed records:
 * `toPositive(murmur2(utf8(key))) % partitionCount`. One function for every adapter, so that a key stays
 * on its partition number when an installation moves from the embedded log to Kafka, and so that a
 * producer in another language with the default partitioner agrees with us.
 *
 * Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner.partitionForKey (Kafka 4).
 */

const SEED = 0x9747b28c;
const M = 0x5bd1e995;
const R = 24;

const utf8 = new TextEncoder();

/**
 * The partition of a key in a log of `partitionCount` partitions: 0 to `partitionCount - 1`.
 *
 * Throws RangeError when `partitionCount` is not a positive integer: that is a bug of the caller.
 */
export function partitionOf(key: string, partitionCount: number): number {
  if (!Number.isSafeInteger(partitionCount) || partitionCount < 1) {
    throw new RangeError(`The partition count must be a positive integer, not ${partitionCount}.`);
  }
  const hash = murmur2Ascii(key) ?? murmur2(utf8.encode(key));
  return (hash & 0x7fffffff) % partitionCount;
}

/** Kafka's murmur2 of bytes: a signed 32-bit integer. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length;
  const wholeWords = length & ~3;
  let hash = SEED ^ length;
  for (let at = 0; at < wholeWords; at += 4) {
    const word =
      byteAt(bytes, at) |
      (byteAt(bytes, at + 1) << 8) |
      (byteAt(bytes, at + 2) << 16) |
      (byteAt(bytes, at + 3) << 24);
    hash = mixWord(hash, word);
  }
  let rest = 0;
  for (let at = length - 1; at >= wholeWords; at--) rest = (rest << 8) | byteAt(bytes, at);
  return finish(hash, rest, length - wholeWords);
}

/**
 * The same hash straight from the string, without encoding it: ids are ASCII, and this runs for every
 * message. Undefined when the key has any other character, whose bytes are not its char codes.
 */
function murmur2Ascii(key: string): number | undefined {
  const length = key.length;
  const wholeWords = length & ~3;
  let hash = SEED ^ length;
  let seen = 0;
  for (let at = 0; at < wholeWords; at += 4) {
    const a = key.charCodeAt(at);
    const b = key.charCodeAt(at + 1);
    const c = key.charCodeAt(at + 2);
    const d = key.charCodeAt(at + 3);
    seen |= a | b | c | d;
    hash = mixWord(hash, a | (b << 8) | (c << 16) | (d << 24));
  }
  let rest = 0;
  for (let at = length - 1; at >= wholeWords; at--) {
    const code = key.charCodeAt(at);
    seen |= code;
    rest = (rest << 8) | code;
  }
  return seen > 0x7f ? undefined : finish(hash, rest, length - wholeWords);
}

function mixWord(hash: number, word: number): number {
  let mixed = Math.imul(word, M);
  mixed ^= mixed >>> R;
  return Math.imul(hash, M) ^ Math.imul(mixed, M);
}

/** Mixes in the 0 to 3 bytes after the last whole word, then spreads every bit over the result. */
function finish(hash: number, rest: number, restBytes: number): number {
  let mixed = restBytes > 0 ? Math.imul(hash ^ rest, M) : hash;
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, M);
  return mixed ^ (mixed >>> 15);
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

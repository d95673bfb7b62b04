/**
 * Message ids: Snowflakes of 63 bits that grow within a conversation and are unique in it.
 *
 *   62            22 21        12 11         0
 *   | 41 bits: time | 10: partition | 12: offset |
 *
 * Time is the log's append time in ms since 2025-01-01T00:00Z. When that would not give a greater id than
 * the conversation's last one (a clock that was set back, offsets that wrapped), it is the last id's time + 1.
 */

/** 2025-01-01T00:00:00Z in ms since the Unix epoch. */
export const MESSAGE_ID_EPOCH_MS = 1_735_689_600_000;

/** Partitions that fit into an id. */
export const MESSAGE_ID_PARTITIONS_MAX = 1024;

const TIME_SHIFT = 22n;
const PARTITION_SHIFT = 12n;
const OFFSET_MASK = 0xfff;

/**
 * Below the 41 bits by 2^32 ms: a log whose clock once stood in the year 2300 leaves every conversation
 * room for four billion messages after that.
 */
const TIME_MAX = 2 ** 41 - 2 ** 32;

/** The id of the entry that a record becomes. A pure function of the record's place and the last id. */
export function nextMessageId(
  position: { readonly partition: number; readonly offset: number; readonly appendTimeMs: number },
  lastMessageId: bigint,
): bigint {
  const low = lowBits(position.partition, position.offset);
  const time = clampTime(position.appendTimeMs - MESSAGE_ID_EPOCH_MS);
  const id = (BigInt(time) << TIME_SHIFT) | low;
  if (id > lastMessageId) return id;
  return (((lastMessageId >> TIME_SHIFT) + 1n) << TIME_SHIFT) | low;
}

/** The smallest id that an entry accepted at this time or later can have. */
export function firstMessageIdAt(timeMs: number): bigint {
  return BigInt(clampTime(timeMs - MESSAGE_ID_EPOCH_MS)) << TIME_SHIFT;
}

function lowBits(partition: number, offset: number): bigint {
  // The offset can be above 2^31, where JavaScript's bit operators would wrap.
  return (BigInt(partition) << PARTITION_SHIFT) | BigInt(offset % (OFFSET_MASK + 1));
}

function clampTime(timeMs: number): number {
  return Math.min(Math.max(0, Math.floor(timeMs)), TIME_MAX);
}

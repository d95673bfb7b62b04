/** A file on the disk in memory of `power-loss.ts`: what a process sees of it, and what is on disk. */
export type Inode = {
  present: Content;
  durable: Content;
  /** The shortest it was cut to since it was synced; NOT_CUT if it was not. */
  cutTo: number;
};

/** The first `length` bytes of a buffer, which nobody changes; behind them is room to grow. */
type Content = { readonly buffer: Buffer; readonly length: number };

export const NOT_CUT = Number.POSITIVE_INFINITY;

/** What a disk writes wholly or not at all. */
const SECTOR_BYTES = 512;

export function emptyInode(): Inode {
  return settledInode(Buffer.alloc(0));
}

/** A file all of whose bytes are on disk. */
export function settledInode(bytes: Buffer): Inode {
  const content = { buffer: bytes, length: bytes.length };
  return { present: content, durable: content, cutTo: NOT_CUT };
}

export function copyInode({ present, durable, cutTo }: Inode): Inode {
  const copy = (content: Content): Content => {
    return { buffer: Buffer.from(bytesOf(content)), length: content.length };
  };
  return { present: copy(present), durable: copy(durable), cutTo };
}

/** What a process sees. */
export function presentBytes(inode: Inode): Buffer {
  return bytesOf(inode.present);
}

/** Writes into the room behind the content, or moves to a larger buffer. */
export function growInode(inode: Inode, bytes: Uint8Array): void {
  const { buffer, length } = inode.present;
  const needed = length + bytes.length;
  let target = buffer;
  if (needed > buffer.length) {
    target = Buffer.alloc(Math.max(needed, buffer.length * 2));
    target.set(buffer.subarray(0, length));
  }
  target.set(bytes, length);
  inode.present = { buffer: target, length: needed };
}

/** Into a buffer of its own: what grows from here must not overwrite what may still be on disk. */
export function cutInode(inode: Inode, size: number): void {
  inode.present = { buffer: Buffer.from(presentBytes(inode).subarray(0, size)), length: size };
  inode.cutTo = Math.min(inode.cutTo, size);
}

/** What is left of a file after a loss of power: what was synced and, of the rest, what chance leaves. */
export function survivorOf(inode: Inode, random: () => number): Inode {
  const { durable, cutTo } = inode;
  const isCut = cutTo < durable.length;
  // A cut that was not synced has happened or not.
  if (isCut && random() < 0.5) return settledInode(Buffer.from(bytesOf(durable)));
  const kept = isCut ? cutTo : durable.length;
  const bytes = presentBytes(inode);
  const tail = tornTail(bytes.subarray(kept), random);
  return settledInode(Buffer.concat([bytes.subarray(0, kept), tail]));
}

function tornTail(tail: Buffer, random: () => number): Buffer {
  const fate = random();
  if (fate < 0.25) return tail.subarray(0, 0);
  if (fate < 0.5) return tail.subarray(0, Math.floor(random() * (tail.length + 1)));
  const torn = Buffer.from(tail);
  for (let at = 0; at < torn.length; at += SECTOR_BYTES) {
    if (random() < 0.5) torn.subarray(at, at + SECTOR_BYTES).fill(0);
  }
  return torn;
}

function bytesOf({ buffer, length }: Content): Buffer {
  return buffer.subarray(0, length);
}

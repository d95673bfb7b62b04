/**
 * Looks at an LMDB file before LMDB does. LMDB maps the file and believes what it finds there: a page number
 * behind the end of the file, or a page that is something else, ends the process without a word.
 *
 * ```
 * file    meta page 0 | meta page 1 | pages; number n begins at n * page size
 * page    number(8) transaction(8) pad(2) flags(2) lower(2) upper(2) | node offsets, 2 bytes each … nodes
 * meta    header(24) magic(4) version(4) address(8) map size(8) free tree(48) main tree(48) last page(8)
 *         transaction(8); the page size is the first field of the free tree
 * tree    pad(4) flags(2) depth(2) branch pages(8) leaf pages(8) overflow pages(8) entries(8) root(8)
 * node    low(2) high(2) flags(2) key size(2) key, data; in a branch the first three are the child's number
 * ```
 * Little endian, as on every 64-bit machine that Node supports. Source: `mdb.c` of lmdb 3.5.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { arch, endianness } from "node:os";

/** The file is not what LMDB wrote. The message names it, and says what is wrong and what to do. */
export class LmdbDamagedError extends Error {
  override readonly name = "LmdbDamagedError";
}

/**
 * Pages that are read. All branch pages of a file of about a gigabyte are among them, and with them the place
 * of every leaf; in the cache of the file system that takes some 50 ms.
 */
const PAGES_READ_MAX = 4096;

const HEADER_BYTES = 24;
const META_BYTES = 160;
const TREE_BYTES = 48;
const NODE_BYTES = 8;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const PAGE_BYTES_MIN = 256;
const PAGE_BYTES_MAX = 65_536;
const NO_ROOT = 2n ** 64n - 1n;
/** More levels than a file of any size has. */
const DEPTH_MAX = 32;

const flag = { branch: 0x01, leaf: 0x02, overflow: 0x04, meta: 0x08 } as const;
const nodeFlag = { bigData: 0x01, subTree: 0x02 } as const;

export type LmdbCheckOptions = {
  /** What an operator can do about damage; ends the message. A clause without a full stop. */
  readonly remedy: string;
  /** Default PAGES_READ_MAX. */
  readonly pagesReadMax?: number;
};

/**
 * Checks both meta pages, and walks the trees from their roots, level by level, as far as `pagesReadMax`
 * pages. A file that is missing or empty is fine: LMDB makes it. Nobody may be writing it.
 *
 * Neither the size of the file nor its last page number is checked by itself: a write that failed leaves part
 * of a page at the end, and pages that a transaction took and gave back are counted and never written.
 *
 * @throws LmdbDamagedError
 */
export function checkLmdbFile(path: string, options: LmdbCheckOptions): void {
  // The file of another kind of machine looks different, and LMDB refuses it by itself.
  if (endianness() !== "LE" || !arch().endsWith("64")) return;
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw error;
  }
  try {
    const fileBytes = fstatSync(file).size;
    if (fileBytes === 0) return;
    new FileCheck(file, fileBytes, options.pagesReadMax ?? PAGES_READ_MAX).run();
  } catch (error) {
    if (!(error instanceof Finding)) throw error;
    throw new LmdbDamagedError(`${path} is damaged: ${error.message}; ${options.remedy}`);
  } finally {
    closeSync(file);
  }
}

/** What is wrong; a clause. */
class Finding extends Error {}

type Meta = { readonly pageBytes: number; readonly transaction: bigint; readonly page: Buffer };

/** A page of a tree that is to be read. `below` counts the levels under it; 0 for a leaf. */
type Place = { readonly page: number; readonly below: number };

class FileCheck {
  readonly #file: number;
  readonly #fileBytes: number;
  readonly #pagesReadMax: number;
  readonly #waiting: Place[] = [];
  #pageBytes = PAGE_BYTES_MIN;
  #transaction = 0n;

  constructor(file: number, fileBytes: number, pagesReadMax: number) {
    this.#file = file;
    this.#fileBytes = fileBytes;
    this.#pagesReadMax = pagesReadMax;
  }

  run(): void {
    const first = this.#readMeta(0, 0);
    this.#pageBytes = first.pageBytes;
    const second = this.#readMeta(1, first.pageBytes);
    if (second.pageBytes !== first.pageBytes) throw new Finding("its two beginnings differ");
    const newest = second.transaction > first.transaction ? second : first;
    this.#transaction = newest.transaction;
    for (const tree of [48, 96]) this.#addTree(newest.page.subarray(tree, tree + TREE_BYTES));
    for (let read = 0; read < this.#pagesReadMax; read++) {
      const place = this.#waiting[read];
      if (place === undefined) return;
      this.#readPage(place);
    }
  }

  #readMeta(number: number, position: number): Meta {
    const page = this.#read(position, META_BYTES);
    const isMeta = (page.readUInt16LE(18) & flag.meta) !== 0;
    if (!isMeta || page.readUInt32LE(24) !== MAGIC) {
      throw new Finding(`page ${number} is not the beginning of an LMDB file`);
    }
    const version = page.readUInt32LE(28) & 0xffff;
    if (version !== VERSION) throw new Finding(`it has version ${version} of LMDB's format`);
    const pageBytes = page.readUInt32LE(48);
    const isSize = pageBytes >= PAGE_BYTES_MIN && pageBytes <= PAGE_BYTES_MAX;
    if (!isSize || (pageBytes & (pageBytes - 1)) !== 0) {
      throw new Finding(`page ${number} says that pages have ${pageBytes} bytes`);
    }
    return { pageBytes, transaction: page.readBigUInt64LE(152), page };
  }

  #addTree(tree: Buffer): void {
    const root = tree.readBigUInt64LE(40);
    const depth = tree.readUInt16LE(6);
    if (root === NO_ROOT) return;
    if (depth === 0 || depth > DEPTH_MAX) throw new Finding(`a tree in it has ${depth} levels`);
    this.#add(root, depth - 1);
  }

  #add(page: bigint, below: number): void {
    this.#waiting.push({ page: this.#placeOf(page, 1), below });
  }

  /** The number of a page that has to be in the file, with what follows it. */
  #placeOf(page: bigint, pages: number): number {
    const number = Number(page);
    if (page < 2n || (number + pages) * this.#pageBytes > this.#fileBytes) {
      throw new Finding(`page ${page} is needed, and the file has ${this.#fileBytes} bytes`);
    }
    return number;
  }

  #readPage({ page: number, below }: Place): void {
    const page = this.#read(number * this.#pageBytes, this.#pageBytes);
    const wanted = below > 0 ? flag.branch : flag.leaf;
    this.#checkHeader(page, number, wanted);
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22);
    const room = this.#pageBytes - HEADER_BYTES;
    if (lower % 2 !== 0 || lower > upper || upper > room) {
      throw new Finding(`page ${number} has another content than its kind`);
    }
    for (let at = 0; at < lower; at += 2) {
      const start = page.readUInt16LE(HEADER_BYTES + at);
      if (start < upper || start + NODE_BYTES > room) {
        throw new Finding(`page ${number} has an entry outside of it`);
      }
      this.#readNode(page, HEADER_BYTES + start, { page: number, below });
    }
  }

  #checkHeader(page: Buffer, number: number, wanted: number): void {
    const isIt = page.readBigUInt64LE(0) === BigInt(number);
    const kind = page.readUInt16LE(18) & (flag.branch | flag.leaf | flag.overflow | flag.meta);
    if (!isIt || kind !== wanted) throw new Finding(`page ${number} is not what it has to be`);
    if (page.readBigUInt64LE(8) > this.#transaction) {
      throw new Finding(`page ${number} is newer than the file's beginning`);
    }
  }

  #readNode(page: Buffer, start: number, place: Place): void {
    const low = page.readUInt32LE(start);
    const high = page.readUInt16LE(start + 4);
    if (place.below > 0) {
      this.#add(BigInt(low) + (BigInt(high) << 32n), place.below - 1);
      return;
    }
    const data = start + NODE_BYTES + page.readUInt16LE(start + 6);
    const dataBytes = (high & nodeFlag.bigData) !== 0 ? HEADER_BYTES : low;
    if (data + dataBytes > this.#pageBytes) {
      throw new Finding(`page ${place.page} has an entry that is longer than the page`);
    }
    const value = page.subarray(data, data + dataBytes);
    if ((high & nodeFlag.subTree) !== 0) {
      if (dataBytes !== TREE_BYTES)
        throw new Finding(`page ${place.page} has a table without root`);
      this.#addTree(value);
    } else if ((high & nodeFlag.bigData) !== 0) {
      const first = this.#placeOf(value.readBigUInt64LE(0), Number(value.readBigUInt64LE(16)));
      const head = this.#read(first * this.#pageBytes, HEADER_BYTES);
      this.#checkHeader(head, first, flag.overflow);
    }
  }

  #read(position: number, bytes: number): Buffer {
    const buffer = Buffer.allocUnsafe(bytes);
    const bytesRead = readSync(this.#file, buffer, 0, bytes, position);
    if (bytesRead === bytes) return buffer;
    throw new Finding(`it is cut off after ${this.#fileBytes} bytes`);
  }
}

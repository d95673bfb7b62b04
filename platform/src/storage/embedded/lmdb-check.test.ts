import assert from "node:assert/strict";
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { createLmdbCommit, openLmdb } from "./lmdb.ts";
import { checkLmdbFile, LmdbDamagedError } from "./lmdb-check.ts";

const remedy = "restore it";
const directory = mkdtempSync(join(tmpdir(), "parley-lmdb-check-"));
const intact = join(directory, "store", "data.mdb");
const damaged = join(directory, "damaged.mdb");
let pageBytes = 0;

/** Two tables of some depth, with values that need pages of their own. */
async function fill(): Promise<void> {
  const root = openLmdb<string>(join(directory, "store"), { keys: "text", remedy });
  const commit = createLmdbCommit(root);
  const rows = root.openDB<Buffer, string>("rows", { encoding: "binary" });
  const heads = root.openDB<Buffer, string>("heads", { encoding: "binary" });
  for (let round = 0; round < 4; round++) {
    await commit(() => {
      for (let at = 0; at < 1000; at++) {
        rows.put(`${round} ${at}`, Buffer.alloc(at % 100 === 0 ? 9000 : 200));
        if (at % 3 === 0) heads.put(`${at}`, Buffer.alloc(50 + round));
      }
    });
  }
  pageBytes = (root.getStats() as { readonly pageSize: number }).pageSize;
  await root.close();
}

function refused(what: RegExp): void {
  assert.throws(
    () => checkLmdbFile(damaged, { remedy }),
    (error) => {
      assert.ok(error instanceof LmdbDamagedError, String(error));
      assert.match(error.message, what);
      assert.ok(error.message.startsWith(`${damaged} is damaged: `), error.message);
      assert.ok(error.message.endsWith("; restore it"), error.message);
      return true;
    },
  );
}

function damage(change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(intact);
  change(bytes);
  writeFileSync(damaged, bytes);
}

/** Pages that a tree of the newest state needs: those without which the check refuses the file. */
function neededPages(pagesReadMax: number, pagesMax = Number.MAX_SAFE_INTEGER): number[] {
  copyFileSync(intact, damaged);
  const file = openSync(damaged, "r+");
  const header = Buffer.alloc(24);
  const needed: number[] = [];
  const pages = statSync(intact).size / pageBytes;
  for (let page = 2; page < pages && needed.length < pagesMax; page++) {
    readSync(file, header, 0, 24, page * pageBytes);
    writeSync(file, Buffer.alloc(24), 0, 24, page * pageBytes);
    try {
      checkLmdbFile(damaged, { remedy, pagesReadMax });
    } catch {
      needed.push(page);
    }
    writeSync(file, header, 0, 24, page * pageBytes);
  }
  closeSync(file);
  return needed;
}

describe("checkLmdbFile", () => {
  before(fill);
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("takes what LMDB wrote, what is not there yet, and an empty file", () => {
    checkLmdbFile(intact, { remedy });
    checkLmdbFile(join(directory, "nothing"), { remedy });
    writeFileSync(damaged, "");
    checkLmdbFile(damaged, { remedy });
  });

  it("takes part of a page at the end, which a write that failed leaves", () => {
    copyFileSync(intact, damaged);
    appendFileSync(damaged, Buffer.alloc(1000, 7));
    checkLmdbFile(damaged, { remedy });
  });

  it("refuses beginnings that are none", () => {
    damage((bytes) => bytes.fill(0, 0, pageBytes));
    refused(/page 0 is not the beginning of an LMDB file/);
    damage((bytes) => bytes.fill(0, pageBytes, 2 * pageBytes));
    refused(/page 1 is not the beginning/);
    damage((bytes) => bytes.writeUInt32LE(9, 28));
    refused(/version 9 of LMDB's format/);
    damage((bytes) => bytes.writeUInt32LE(4095, 48));
    refused(/pages have 4095 bytes/);
    damage((bytes) => bytes.writeUInt32LE(2 * pageBytes, pageBytes + 48));
    refused(/its two beginnings differ/);
    writeFileSync(damaged, "this was a database");
    refused(/cut off after 19 bytes/);
  });

  it("refuses a file that is cut off, wherever that is", () => {
    const { size } = statSync(intact);
    copyFileSync(intact, damaged);
    for (let left = size - pageBytes; left > 2 * pageBytes; left -= 7 * pageBytes + 100) {
      truncateSync(damaged, left);
      refused(/is needed, and the file has|cut off/);
    }
    truncateSync(damaged, pageBytes + 10);
    refused(/cut off/);
  });

  it("finds every page of a tree that is something else, as long as it looks", () => {
    const needed = neededPages(4096);
    const { size } = statSync(intact);
    assert.ok(needed.length > 150, `${needed.length} pages of ${size / pageBytes}`);
    assert.ok(neededPages(20).length <= 40, "it looks at 20 pages, and at what they hold outside");
  });

  it("refuses a page that is newer than the beginning, and one with entries outside of it", () => {
    const [page = 0] = neededPages(1, 1);
    damage((bytes) => bytes.writeBigUInt64LE(1000n, page * pageBytes + 8));
    refused(/is newer than the file's beginning/);
    damage((bytes) => bytes.writeUInt16LE(pageBytes, page * pageBytes + 24));
    refused(/has an entry outside of it/);
    damage((bytes) => bytes.writeUInt16LE(1, page * pageBytes + 20));
    refused(/has another content/);
  });

  it("takes whatever LMDB makes of random writes and removals", async () => {
    const operation = fc.record({
      key: fc.nat({ max: 300 }),
      bytes: fc.oneof(fc.constant(0), fc.nat({ max: 20_000 })),
    });
    const transactions = fc.array(fc.array(operation, { maxLength: 60 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(transactions, async (writes) => {
        const path = mkdtempSync(join(directory, "random-"));
        const root = openLmdb<string>(path, { keys: "text", remedy });
        const commit = createLmdbCommit(root);
        const table = root.openDB<Buffer, string>("table", { encoding: "binary" });
        for (const operations of writes) {
          await commit(() => {
            for (const { key, bytes } of operations) {
              if (bytes === 0) table.remove(`${key}`);
              else table.put(`${key}`, Buffer.alloc(bytes));
            }
          });
          checkLmdbFile(join(path, "data.mdb"), { remedy });
        }
        await root.close();
        checkLmdbFile(join(path, "data.mdb"), { remedy });
        rmSync(path, { recursive: true });
      }),
      { numRuns: 60 },
    );
  });

  it("keeps LMDB from opening what it refuses", async () => {
    const path = mkdtempSync(join(directory, "opened-"));
    copyFileSync(intact, join(path, "data.mdb"));
    truncateSync(join(path, "data.mdb"), 20 * pageBytes);
    assert.throws(() => openLmdb<string>(path, { keys: "text", remedy }), LmdbDamagedError);
  });
});

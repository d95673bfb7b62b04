import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  appendFile,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describeClientStorage } from "../storage/client-storage.contract.ts";
import { DirectoryInUseError, openFileStorage } from "./file-storage.ts";

async function createDirectory() {
  const directory = await mkdtemp(join(tmpdir(), "parley-storage-"));
  return {
    directory,
    journal: join(directory, "journal"),
    open: (options = {}) => openFileStorage({ directory, process, ...options }),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

describeClientStorage("files", async () =>
  Object.assign(await createDirectory(), { durable: true }),
);

// The same promises while every write rewrites the journal.
describeClientStorage("files, rewritten each time", async () => {
  const place = await createDirectory();
  return {
    durable: true,
    open: (options = {}) => place.open({ ...options, compactionBytesMin: 0 }),
    [Symbol.asyncDispose]: place[Symbol.asyncDispose],
  };
});

describe("file storage", () => {
  it("keeps its files to the user alone", async () => {
    await using place = await createDirectory();
    const storage = await openFileStorage({ directory: join(place.directory, "a", "b"), process });
    await storage.write({ settings: { a: "1" } });
    const mode = async (...path: string[]) =>
      (await stat(join(place.directory, "a", ...path))).mode & 0o777;
    assert.equal(await mode("b"), 0o700);
    assert.equal(await mode("b", "journal"), 0o600);
    assert.equal(await mode("b", "lock"), 0o600);
    await storage.close();
  });

  it("finds every whole batch, wherever a crash cut the journal", async () => {
    await using place = await createDirectory();
    const storage = await place.open();
    const ends = [0];
    for (let index = 1; index <= 8; index++) {
      await storage.write({ settings: { last: String(index) } });
      ends.push((await stat(place.journal)).size);
    }
    await storage.close();
    const content = await readFile(place.journal);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: content.length }), async (cut) => {
        await writeFile(place.journal, content);
        await truncate(place.journal, cut);
        const reopened = await place.open();
        const { settings } = await reopened.load();
        const whole = ends.filter((end) => end <= cut).length - 1;
        assert.equal(settings.last, whole === 0 ? undefined : String(whole));
        // What is written now is found again: the torn end is gone.
        await reopened.write({ settings: { last: "new" } });
        await reopened.close();
        const again = await place.open();
        assert.equal((await again.load()).settings.last, "new");
        await again.close();
      }),
      { numRuns: 40 },
    );
  });

  it("reads what a version without message ids wrote", async () => {
    await using place = await createDirectory();
    const json =
      '{"timelines":[{"conversationId":"c","position":{"$n":"7"},"holes":[],"readSeq":{"$n":"7"},' +
      '"confirmedReadSeq":{"$n":"7"},"confirmedDeliveredSeq":{"$n":"7"}}]}';
    const checksum = createHash("sha256").update(json).digest("hex").slice(0, 8);
    await writeFile(place.journal, `${checksum} ${json}\n`);
    const storage = await place.open();
    const [timeline] = (await storage.load()).timelines;
    assert.deepEqual([timeline?.position, timeline?.messageId], [7n, undefined]);
    await storage.close();
  });

  it("drops a damaged line and what follows it", async () => {
    await using place = await createDirectory();
    const storage = await place.open();
    await storage.write({ settings: { last: "1" } });
    await storage.close();
    await appendFile(place.journal, '00000000 {"settings":{"last":"2"}}\n');
    const reopened = await place.open();
    assert.equal((await reopened.load()).settings.last, "1");
    await reopened.close();
  });

  it("rewrites the journal when it has grown, and loses nothing by it", async () => {
    await using place = await createDirectory();
    const storage = await place.open({ compactionBytesMin: 2_000 });
    let largest = 0;
    for (let index = 0; index < 200; index++) {
      await storage.write({
        settings: { last: String(index), [`key ${index % 5}`]: "x".repeat(50) },
      });
      largest = Math.max(largest, (await stat(place.journal)).size);
    }
    await storage.close();
    assert.ok(largest < 4_000, `${largest} bytes`);
    assert.deepEqual(await readdir(place.directory), ["journal"]);
    const reopened = await place.open();
    const { settings } = await reopened.load();
    assert.equal(settings.last, "199");
    assert.equal(Object.keys(settings).length, 6);
    await reopened.close();
  });

  it("ignores a rewriting that a crash interrupted", async () => {
    await using place = await createDirectory();
    const storage = await place.open();
    await storage.write({ settings: { last: "1" } });
    await storage.close();
    await writeFile(`${place.journal}.next`, "half of a");
    const reopened = await place.open();
    assert.equal((await reopened.load()).settings.last, "1");
    await reopened.close();
    assert.deepEqual(await readdir(place.directory), ["journal"]);
  });

  it("is one program's at a time, until that program ends", async () => {
    await using place = await createDirectory();
    const script = `
      import { openFileStorage } from ${JSON.stringify(fileURLToPath(new URL("./file-storage.ts", import.meta.url)))};
      const storage = await openFileStorage({ directory: process.argv[1], process });
      await storage.write({ settings: { last: "from the other" } });
      process.stdout.write("ready");
      setInterval(() => {}, 1000);
    `;
    const args = ["--input-type=module", "--eval", script, place.directory];
    const other = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    await once(other.stdout, "data");
    await assert.rejects(place.open(), (error) => {
      assert.ok(error instanceof DirectoryInUseError);
      assert.equal(error.processId, other.pid);
      return true;
    });
    other.kill("SIGKILL");
    await once(other, "exit");
    const storage = await place.open();
    assert.equal((await storage.load()).settings.last, "from the other");
    await storage.close();
  });
});

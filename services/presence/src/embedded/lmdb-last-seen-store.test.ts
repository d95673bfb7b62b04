import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createManualClock } from "@parley/platform/clock";
import { runLastSeenStoreContract } from "../ports.contract.ts";
import { createLmdbLastSeenStore, LastSeenOpenError } from "./lmdb-last-seen-store.ts";

async function createFixture() {
  const directory = await mkdtemp(join(tmpdir(), "parley-last-seen-"));
  const clock = createManualClock();
  const open = () => createLmdbLastSeenStore({ directory, clock });
  let store = open();
  return {
    store,
    clock,
    async reopen() {
      await store[Symbol.asyncDispose]();
      store = open();
      return store;
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

runLastSeenStoreContract("LMDB", createFixture);

test("times that come together are written together, some seconds later", async () => {
  await using fixture = await createFixture();
  const { store, clock } = fixture;
  for (let index = 0; index < 1000; index++) store.record(`u${index}`, index + 1);
  assert.equal(clock.timerCount, 1);
  clock.advance(5000);
  assert.equal(clock.timerCount, 0);
  assert.deepEqual(await store.read(["u0", "u999"]), [1, 1000]);
  store.record("u0", 2000);
  const reopened = await fixture.reopen();
  assert.deepEqual(await reopened.read(["u0", "u999"]), [2000, 1000]);
});

test("only the owner can read what is in it", async () => {
  const parent = await mkdtemp(join(tmpdir(), "parley-last-seen-"));
  const directory = join(parent, "pres.ence");
  await using _store = createLmdbLastSeenStore({ directory });
  const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
  assert.equal(await modeOf(directory), 0o700);
  assert.deepEqual((await readdir(directory)).toSorted(), ["data.mdb", "lock.mdb"]);
  for (const name of await readdir(directory)) {
    assert.equal(await modeOf(join(directory, name)), 0o600, name);
  }
  await rm(parent, { recursive: true, force: true });
});

test("a directory that cannot be used is named, with its variable", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-last-seen-"));
  const taken = join(directory, "presence");
  await writeFile(taken, "a file");
  assert.throws(
    () => createLmdbLastSeenStore({ directory: taken }),
    (error) =>
      error instanceof LastSeenOpenError &&
      error.message.includes(taken) &&
      error.message.includes("PARLEY_DATA_DIRECTORY"),
  );
  await rm(directory, { recursive: true, force: true });
});

test("a damaged file is refused by name, with what to do", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-last-seen-"));
  const file = join(directory, "data.mdb");
  await writeFile(file, Buffer.alloc(16_384));
  assert.throws(
    () => createLmdbLastSeenStore({ directory }),
    (error) =>
      error instanceof LastSeenOpenError &&
      error.message.includes(`${file} is damaged`) &&
      error.message.includes("move this directory aside"),
  );
  await rm(directory, { recursive: true, force: true });
});

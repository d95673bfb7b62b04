import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { reasonOf } from "@parley/platform/errors";
import { Kysely, sql } from "kysely";
import { MigrationError } from "./migrate.ts";
import type { Database } from "./schema.ts";
import { withTransaction } from "./sql-database.ts";
import { openSqliteClient } from "./sqlite-client.ts";
import { openSqliteDatabase } from "./sqlite-database.ts";
import { createSqliteThreadDialect } from "./sqlite-dialect.ts";
import { SqliteError } from "./sqlite-protocol.ts";

type TestFile = AsyncDisposable & { readonly path: string };

async function createTestFile(): Promise<TestFile> {
  const directory = await mkdtemp(join(tmpdir(), "parley-directory-"));
  return {
    path: join(directory, "made", "directory.sqlite"),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

const key = (name: string, value = "") => ({ name, value, create_time_ms: 1 });

test("what was committed is there after opening again, and what was rolled back is not", async () => {
  await using file = await createTestFile();
  {
    await using database = await openSqliteDatabase(file);
    await database.db.insertInto("server_keys").values(key("kept", "1")).execute();
    const failing = withTransaction(database, async (trx) => {
      await trx.insertInto("server_keys").values(key("lost")).execute();
      throw new Error("changed my mind");
    });
    await assert.rejects(failing, /changed my mind/);
  }
  await using database = await openSqliteDatabase(file);
  const rows = await database.db.selectFrom("server_keys").selectAll().execute();
  assert.deepEqual(rows, [key("kept", "1")]);
});

test("commits are synced in full, in WAL mode", async () => {
  await using file = await createTestFile();
  await using database = await openSqliteDatabase(file);
  const read = async (pragma: string) => {
    const { rows } = await sql`${sql.raw(`pragma ${pragma}`)}`.execute(database.db);
    return Object.values(rows[0] as object)[0];
  };
  assert.equal(await read("journal_mode"), "wal");
  assert.equal(await read("synchronous"), 2);
  assert.equal(await read("foreign_keys"), 1);
});

test("transactions run one after the other, and nobody's statement runs inside of another's", async () => {
  await using file = await createTestFile();
  await using database = await openSqliteDatabase(file);
  const count = async (db: Pick<typeof database.db, "selectFrom">) => {
    const rows = await db.selectFrom("server_keys").select("name").execute();
    return rows.length;
  };
  const reads: Promise<number>[] = [];
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      await withTransaction(database, async (trx) => {
        const before = await count(trx);
        await trx
          .insertInto("server_keys")
          .values(key(`${before} a`))
          .execute();
        reads.push(count(database.db));
        // Gives the read every opportunity to come in between.
        for (let round = 0; round < 5; round++) await count(trx);
        await trx
          .insertInto("server_keys")
          .values(key(`${before} b`))
          .execute();
        if (index % 5 === 0) throw new Error("rolled back");
      }).catch((error: unknown) => assert.match(String(error), /rolled back/));
    }),
  );
  assert.equal(await count(database.db), 32);
  for (const seen of await Promise.all(reads)) assert.equal(seen % 2, 0, "half a transaction seen");
});

test("statements outside of transactions do not wait for each other's answers", async () => {
  await using file = await createTestFile();
  await using client = await openSqliteClient(`${file.path}-2`);
  let pending = 0;
  let pendingMost = 0;
  const db = new Kysely<Database>({
    dialect: createSqliteThreadDialect({
      async run(text, parameters) {
        pendingMost = Math.max(pendingMost, ++pending);
        return await client.run(text, parameters).finally(() => pending--);
      },
      [Symbol.asyncDispose]: async () => undefined,
    }),
  });
  await Promise.all(Array.from({ length: 20 }, () => sql`select 1`.execute(db)));
  assert.equal(pendingMost, 20);
});

test("a transaction whose work fails in SQL gives its turn to the next", async () => {
  await using file = await createTestFile();
  await using database = await openSqliteDatabase(file);
  await database.db.insertInto("server_keys").values(key("one")).execute();
  const insert = () =>
    withTransaction(database, (trx) => trx.insertInto("server_keys").values(key("one")).execute());
  for (let attempt = 0; attempt < 3; attempt++) {
    await assert.rejects(insert(), (error) => {
      assert.ok(error instanceof SqliteError);
      assert.equal(database.isDuplicateKey(error), true);
      assert.equal(database.isTransient(error), false);
      return true;
    });
  }
});

test("another process that holds the file is waited for", async () => {
  await using file = await createTestFile();
  await using one = await openSqliteDatabase(file);
  await using two = await openSqliteDatabase(file);
  const holding = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const held = withTransaction(one, async (trx) => {
    await trx.insertInto("server_keys").values(key("one")).execute();
    holding.resolve();
    await release.promise;
  });
  await holding.promise;
  const waiting = two.db.insertInto("server_keys").values(key("two")).execute();
  release.resolve();
  await Promise.all([held, waiting]);
  const rows = await one.db.selectFrom("server_keys").select("name").execute();
  assert.equal(rows.length, 2);
});

test("withTransaction repeats what only lost against another transaction", async () => {
  await using file = await createTestFile();
  await using database = await openSqliteDatabase(file);
  const busy = new SqliteError("database is locked", 5);
  let runs = 0;
  const outcome = await withTransaction(database, async () => {
    if (++runs < 3) throw busy;
    return runs;
  });
  assert.equal(outcome, 3);
  await assert.rejects(
    withTransaction(database, () => Promise.reject(busy)),
    (error) => error === busy,
  );
});

test("values of every type come back as they were", async () => {
  await using file = await createTestFile();
  await using database = await openSqliteDatabase(file);
  const trace = { conversation_id: "c", membership_version: 2 ** 53 - 1, trace_parent: "" };
  const change = new Uint8Array([0, 255, 10]);
  await database.db
    .insertInto("conversation_outbox")
    .values({ ...trace, change })
    .execute();
  const row = await database.db.selectFrom("conversation_outbox").selectAll().executeTakeFirst();
  assert.deepEqual({ ...row, change: new Uint8Array(row?.change ?? []) }, { ...trace, change });
});

test("a closed database refuses, and disposing twice is fine", async () => {
  await using file = await createTestFile();
  const database = await openSqliteDatabase(file);
  await database[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await assert.rejects(
    database.db.selectFrom("server_keys").selectAll().execute(),
    (error) => reasonOf(error) === "DATABASE_CLOSED",
  );
});

test("closing lets statements that were handed over finish first", async () => {
  await using file = await createTestFile();
  await (await openSqliteDatabase(file))[Symbol.asyncDispose]();
  const client = await openSqliteClient(file.path);
  const insert = "insert into server_keys (name, value, create_time_ms) values (?, ?, ?)";
  const last = client.run(insert, ["last", "", 1]);
  await client[Symbol.asyncDispose]();
  assert.equal((await last).changes, 1);
});

test("a database that has too much to do refuses more, and goes on", async () => {
  await using file = await createTestFile();
  await using client = await openSqliteClient(join(file.path, "..", "x.sqlite"));
  const running = Array.from({ length: 10_000 }, () => client.run("select 1 as one", []));
  await assert.rejects(client.run("select 1", []), (error) => reasonOf(error) === "DATABASE_BUSY");
  const results = await Promise.all(running);
  assert.deepEqual(results.at(-1)?.rows, [{ one: 1 }]);
  await client.run("select 1 as one", []);
});

test("a file that is no database is refused", async () => {
  await using file = await createTestFile();
  await (await openSqliteDatabase(file))[Symbol.asyncDispose]();
  await writeFile(file.path, "this is a letter and not a database at all".repeat(100));
  await rm(`${file.path}-wal`, { force: true });
  await assert.rejects(
    openSqliteDatabase(file),
    /directory\.sqlite.* could not be opened: .*not a database.*PARLEY_DATA_DIRECTORY/,
  );
});

test("a file of a newer version is refused with what to do", async () => {
  await using file = await createTestFile();
  {
    await using database = await openSqliteDatabase(file);
    await sql`insert into kysely_migration (name, timestamp) values ('9999-later', 'x')`.execute(
      database.db,
    );
  }
  await assert.rejects(openSqliteDatabase(file), (error) => {
    assert.ok(error instanceof MigrationError);
    assert.match(error.message, /newer version/);
    return true;
  });
});

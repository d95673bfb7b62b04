import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { reasonOf } from "@parley/platform/errors";
import { sql } from "kysely";
import { withSnapshot, withTransaction } from "../embedded/sql-database.ts";
import { openMysqlDatabase } from "./mysql-database.ts";
import { createMigratedMysql } from "./testing/test-mysql.ts";

const key = (name: string, value = "") => ({ name, value, create_time_ms: 1 });
const unreachable = (error: unknown) => reasonOf(error) === "DATABASE_UNAVAILABLE";

type Opened = Awaited<ReturnType<typeof openMysqlDatabase>>;

async function names({ db }: Pick<Opened, "db">): Promise<string[]> {
  const rows = await db.selectFrom("server_keys").select("name").orderBy("name").execute();
  return rows.map(({ name }) => name);
}

async function connectionId(db: Opened["db"]): Promise<number> {
  const { rows } = await sql<{ id: number }>`select connection_id() as id`.execute(db);
  return rows[0]?.id ?? 0;
}

/** Passes bytes on to the server, until it is told to die and to come back. */
async function createProxy(to: { readonly host: string; readonly port: number }) {
  const sockets = new Set<Socket>();
  const fars = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(to);
    fars.add(far);
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on("error", () => into.destroy()).on("close", () => into.destroy());
      from.pipe(into);
    }
  });
  const listen = async (port: number) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  };
  const port = await listen(0);
  const die = () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    return closed;
  };
  return {
    port,
    die,
    comeBack: () => listen(port),
    /** No answer comes through any more. */
    freeze: () => {
      for (const far of fars) far.unpipe().pause();
    },
    [Symbol.asyncDispose]: die,
  };
}

test("values of every type come back as they were", async () => {
  await using mysql = await createMigratedMysql();
  await using database = await openMysqlDatabase(mysql.config);
  const trace = { conversation_id: "c", membership_version: 2 ** 53 - 1, trace_parent: "" };
  const change = new Uint8Array([0, 255, 10, 39, 92]);
  await database.db
    .insertInto("conversation_outbox")
    .values({ ...trace, change })
    .execute();
  const row = await database.db.selectFrom("conversation_outbox").selectAll().executeTakeFirst();
  assert.deepEqual(row, { ...trace, change });
  const odd = key("a'b\\c\u0000\u{10FFFF}é ", '\u{1F989}\n"`');
  await database.db.insertInto("server_keys").values(odd).execute();
  assert.deepEqual(await database.db.selectFrom("server_keys").selectAll().execute(), [odd]);
  await database.db.insertInto("server_keys").values(key("a'b\\c\u0000\u{10FFFF}é")).execute();
  assert.equal((await names(database)).length, 2, "a space at the end counts");
});

test("a text that is too long is refused and not cut off", async () => {
  await using mysql = await createMigratedMysql();
  await using database = await openMysqlDatabase(mysql.config);
  const long = database.db
    .insertInto("server_keys")
    .values(key("x".repeat(33)))
    .execute();
  await assert.rejects(long, /ER_DATA_TOO_LONG/);
});

test("what was rolled back is gone, and reads after a lock see what its last holder committed", async () => {
  await using mysql = await createMigratedMysql();
  await using database = await openMysqlDatabase(mysql.config);
  const failing = withTransaction(database, async (trx) => {
    await trx.insertInto("server_keys").values(key("lost")).execute();
    throw new Error("changed my mind");
  });
  await assert.rejects(failing, /changed my mind/);
  assert.deepEqual(await names(database), []);
  await withTransaction(database, async (trx) => {
    assert.deepEqual(await names({ db: trx }), []);
    await database.db.insertInto("server_keys").values(key("new")).execute();
    assert.deepEqual(await names({ db: trx }), ["new"]);
  });
  await withSnapshot(database, async (trx) => {
    assert.deepEqual(await names({ db: trx }), ["new"]);
    await database.db.insertInto("server_keys").values(key("newer")).execute();
    assert.deepEqual(await names({ db: trx }), ["new"], "a snapshot is of one moment");
  });
});

test("a deadlock is repeated, and both transactions come through", async () => {
  await using mysql = await createMigratedMysql();
  await using database = await openMysqlDatabase(mysql.config);
  await database.db
    .insertInto("server_keys")
    .values([key("a"), key("b")])
    .execute();
  let runs = 0;
  const both = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const set = (trx: Opened["db"], name: string) =>
    trx
      .updateTable("server_keys")
      .set(({ eb }) => ({ create_time_ms: eb("create_time_ms", "+", 1) }))
      .where("name", "=", name)
      .execute();
  const work = (own: 0 | 1, first: string, second: string) =>
    withTransaction(database, async (trx) => {
      runs++;
      await set(trx, first);
      both[own].resolve();
      await Promise.all(both.map(({ promise }) => promise));
      await set(trx, second);
    });
  await Promise.all([work(0, "a", "b"), work(1, "b", "a")]);
  assert.ok(runs > 2, "one of them lost");
  const rows = await database.db.selectFrom("server_keys").select("create_time_ms").execute();
  assert.deepEqual(rows, [{ create_time_ms: 3 }, { create_time_ms: 3 }]);
});

test("a lock that is not had in time is typed, and nothing was done", async () => {
  await using mysql = await createMigratedMysql();
  await using database = await openMysqlDatabase(mysql.config);
  await database.db.insertInto("server_keys").values(key("a")).execute();
  await withTransaction(database, async (trx) => {
    await trx.updateTable("server_keys").set({ value: "held" }).execute();
    const waiting = database.db.updateTable("server_keys").set({ value: "other" }).execute();
    await assert.rejects(waiting, (error) => {
      assert.equal(reasonOf(error), "DATABASE_BUSY");
      assert.equal(database.isTransient(error), true);
      return true;
    });
  });
  const rows = await database.db.selectFrom("server_keys").select("value").execute();
  assert.deepEqual(rows, [{ value: "held" }]);
});

test("a key that exists is told apart, and no error shows values or statements", async () => {
  await using mysql = await createMigratedMysql();
  await using database = await openMysqlDatabase(mysql.config);
  const insert = () => database.db.insertInto("server_keys").values(key("secret")).execute();
  await insert();
  await assert.rejects(insert(), (error) => {
    assert.ok(error instanceof Error);
    assert.equal(database.isDuplicateKey(error), true);
    assert.equal(database.isTransient(error), false);
    assert.ok(!JSON.stringify({ ...error, message: error.message }).includes("secret"));
    return true;
  });
  await assert.rejects(sql`selec ${"secret"}`.execute(database.db), (error) => {
    assert.match(String(error), /ER_PARSE_ERROR/);
    assert.ok(!String(error).includes("secret"), String(error));
    return true;
  });
});

test("a connection that is killed in mid-transaction loses it, and the next call works", async () => {
  await using mysql = await createMigratedMysql();
  const told: string[] = [];
  await using database = await openMysqlDatabase(mysql.config, {
    onProblem: () => told.push("problem"),
  });
  let runs = 0;
  const killed = withTransaction(database, async (trx) => {
    runs++;
    await trx.insertInto("server_keys").values(key("lost")).execute();
    await mysql.execute(`kill ${await connectionId(trx)}`);
    await trx.insertInto("server_keys").values(key("never")).execute();
  });
  await assert.rejects(killed, unreachable);
  assert.equal(runs, 1, "its outcome is not known here: the caller repeats");
  assert.deepEqual(await names(database), []);
  // Also one that waits for its answer, and one that nobody uses.
  const sleeping = withTransaction(database, async (trx) => {
    const id = await connectionId(trx);
    const asleep = sql`select sleep(20)`.execute(trx);
    await Promise.all([assert.rejects(asleep, unreachable), mysql.execute(`kill ${id}`)]);
    throw new Error("the first reason");
  });
  await assert.rejects(sleeping, /the first reason/);
  await mysql.execute(`kill ${await connectionId(database.db)}`);
  await database.db
    .insertInto("server_keys")
    .values(key("kept"))
    .execute()
    .catch(() => undefined);
  await database.db.deleteFrom("server_keys").execute();
  assert.deepEqual(await names(database), []);
  assert.deepEqual(told, [], "the server was there all the time");
});

test("while the server is away calls are refused at once, and work again when it is back", async () => {
  await using mysql = await createMigratedMysql();
  await using proxy = await createProxy(mysql.config);
  const told: string[] = [];
  const config = { ...mysql.config, port: proxy.port };
  await using database = await openMysqlDatabase(config, {
    onProblem: () => told.push("problem"),
    onRecovered: () => told.push("recovered"),
  });
  const broken = withTransaction(database, async (trx) => {
    await trx.insertInto("server_keys").values(key("lost")).execute();
    await proxy.die();
    await trx.insertInto("server_keys").values(key("never")).execute();
  });
  await assert.rejects(broken, unreachable);
  await assert.rejects(names(database), unreachable);
  await assert.rejects(names(database), unreachable);
  await assert.rejects(openMysqlDatabase(config), unreachable);
  assert.deepEqual(told, ["problem"]);
  await proxy.comeBack();
  assert.deepEqual(await names(database), []);
  await database.db.insertInto("server_keys").values(key("kept")).execute();
  assert.deepEqual(await names(database), ["kept"]);
  assert.deepEqual(told, ["problem", "recovered"]);
});

test("a server that does not answer is given up, and its locks with it", async () => {
  await using mysql = await createMigratedMysql();
  await using proxy = await createProxy(mysql.config);
  const config = { ...mysql.config, port: proxy.port };
  await using database = await openMysqlDatabase(config, { statementTimeoutMs: 300 });
  await using beside = await openMysqlDatabase(mysql.config);
  await database.db.insertInto("server_keys").values(key("a")).execute();
  const frozen = withTransaction(database, async (trx) => {
    await trx.updateTable("server_keys").set({ value: "never" }).execute();
    proxy.freeze();
    await trx.updateTable("server_keys").set({ value: "never" }).execute();
  });
  await assert.rejects(frozen, unreachable);
  await beside.db.updateTable("server_keys").set({ value: "other" }).execute();
  const rows = await beside.db.selectFrom("server_keys").select("value").execute();
  assert.deepEqual(rows, [{ value: "other" }]);
});

test("more calls than connections wait their turn, and too many are refused", async () => {
  await using mysql = await createMigratedMysql();
  await using database = await openMysqlDatabase({ ...mysql.config, connectionsMax: 2 });
  let busy = 0;
  let busyMost = 0;
  const call = () =>
    database.db.connection().execute(async (db) => {
      busyMost = Math.max(busyMost, ++busy);
      await sql`select 1`.execute(db);
      busy--;
    });
  const outcomes = await Promise.allSettled(Array.from({ length: 1010 }, call));
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  assert.equal(busyMost, 2);
  assert.equal(refused.length, 8);
  for (const { reason } of refused) assert.equal(reasonOf(reason), "DATABASE_BUSY");
  await call();
});

test("a closed database refuses, and disposing twice is fine", async () => {
  await using mysql = await createMigratedMysql();
  const database = await openMysqlDatabase(mysql.config);
  await database[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await assert.rejects(names(database));
});

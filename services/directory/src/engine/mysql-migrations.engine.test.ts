import assert from "node:assert/strict";
import { test } from "node:test";
import { SettingError } from "@parley/platform/config";
import { MigrationError } from "../embedded/migrate.ts";
import { migrations } from "../embedded/migrations/index.ts";
import { openMysqlDatabase } from "./mysql-database.ts";
import { MysqlSchemaError, migrateDirectory } from "./mysql-migrations.ts";
import { createTestMysql, type TestMysql } from "./testing/test-mysql.ts";

const all = Object.keys(migrations).sort();

const schemaOf = ({ execute, config }: TestMysql) =>
  execute(
    "select table_name, column_name, column_type, is_nullable, collation_name, column_key from " +
      `information_schema.columns where table_schema = '${config.database}' order by 1, 2`,
  );

test("from four places at once and once more, everything is made once", async () => {
  await using mysql = await createTestMysql();
  const applied = await Promise.all(
    Array.from({ length: 4 }, () => migrateDirectory(mysql.config)),
  );
  assert.deepEqual(applied.flat().length % all.length, 0);
  assert.ok(applied.flat().length >= all.length);
  assert.deepEqual(await migrateDirectory(mysql.config), []);
  const columns = await schemaOf(mysql);
  const collations = new Set(columns.map((column) => column.collation_name));
  collations.delete(null);
  assert.equal(collations.size, 1);
  assert.match(String([...collations][0]), /^utf8mb4_(nopad|0900)_bin$/);
  await using _ = await openMysqlDatabase(mysql.config);
});

test("a migration that was interrupted anywhere goes on where it stopped", async () => {
  await using complete = await createTestMysql();
  await migrateDirectory(complete.config);
  const expected = await schemaOf(complete);
  const tables = [...new Set(expected.map((column) => String(column.table_name)))];
  const made = tables.filter((table) => !table.startsWith("kysely_"));
  for (const half of [made.slice(0, 3), made.slice(3)]) {
    await using mysql = await createTestMysql();
    await migrateDirectory(mysql.config);
    const { database } = mysql.config;
    await mysql.execute(`delete from ${database}.kysely_migration`);
    for (const table of half) await mysql.execute(`drop table ${database}.${table}`);
    await assert.rejects(openMysqlDatabase(mysql.config), MysqlSchemaError);
    assert.deepEqual(await migrateDirectory(mysql.config), all);
    assert.deepEqual(await schemaOf(mysql), expected);
  }
});

test("tables that are missing, older or newer are refused with what to do", async () => {
  await using mysql = await createTestMysql();
  const { database } = mysql.config;
  const refusal = async () => {
    const opening = openMysqlDatabase(mysql.config);
    const error: unknown = await opening.then(
      async (opened) => {
        await opened[Symbol.asyncDispose]();
        return assert.fail("opened");
      },
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof MysqlSchemaError, String(error));
    return error.message;
  };
  assert.match(await refusal(), /does not have the tables .* Run `parley migrate`/);
  await mysql.execute(`create database ${database}`);
  assert.match(await refusal(), /Run `parley migrate`/);
  await migrateDirectory(mysql.config);
  await mysql.execute(`delete from ${database}.kysely_migration where name = '${all.at(-1)}'`);
  assert.match(await refusal(), new RegExp(`\\(${all.at(-1)}\\)\\. Run \`parley migrate\``));
  await migrateDirectory(mysql.config);
  await mysql.execute(`insert into ${database}.kysely_migration values ('9999-later', 'x')`);
  assert.match(await refusal(), /newer version of Parley \(9999-later\).*`parley migrate`/);
  await assert.rejects(migrateDirectory(mysql.config), MigrationError);
});

test("who is not let in is told which variables it is, and no password", async () => {
  await using mysql = await createTestMysql();
  const config = { ...mysql.config, username: "nobody-here", password: "hush-hush" };
  for (const attempt of [migrateDirectory(config), openMysqlDatabase(config)]) {
    await assert.rejects(attempt, (error) => {
      assert.ok(error instanceof SettingError, String(error));
      assert.match(error.message, /nobody-here of PARLEY_MYSQL_URL/);
      assert.ok(!error.message.includes("hush-hush"));
      return true;
    });
  }
  const certificates = { ...mysql.config, tlsCaFile: "/nowhere/ca.pem" };
  await assert.rejects(
    openMysqlDatabase(certificates),
    (error) => error instanceof SettingError && error.variable === "PARLEY_MYSQL_TLS_CA_FILE",
  );
});

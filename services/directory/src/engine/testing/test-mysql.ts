/** Databases for tests, on the server that runs for them (`npm run engines`). */
import { randomUUID } from "node:crypto";
import type { MysqlConfig } from "@parley/platform/storage/engine/mysql-config";
import { createConnection } from "mysql2/promise";
import { migrateDirectory } from "../mysql-migrations.ts";

/** Where it listens. */
const TEST_SERVER = { host: "127.0.0.1", port: 13306, username: "root" };

export type TestMysql = AsyncDisposable & {
  readonly config: MysqlConfig;
  /** Runs one statement as an administrator would. */
  execute(statement: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
};

/** Gives a name to a database that does not exist before it is migrated. Disposing drops it. */
export async function createTestMysql(changes: Partial<MysqlConfig> = {}): Promise<TestMysql> {
  const config: MysqlConfig = {
    ...TEST_SERVER,
    password: undefined,
    database: `parley_test_${randomUUID().replaceAll("-", "")}`,
    tlsCaFile: undefined,
    connectionsMax: 10,
    ...changes,
  };
  const { host, port, username: user } = TEST_SERVER;
  const connection = await createConnection({ host, port, user });
  const execute = async (statement: string) => {
    const [rows] = await connection.query(statement);
    return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
  };
  return {
    config,
    execute,
    async [Symbol.asyncDispose]() {
      await execute(`drop database if exists \`${config.database}\``);
      await connection.end();
    },
  };
}

/** A database with its tables. */
export async function createMigratedMysql(changes: Partial<MysqlConfig> = {}): Promise<TestMysql> {
  const created = await createTestMysql(changes);
  await migrateDirectory(created.config);
  return created;
}

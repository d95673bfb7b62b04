import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connectCassandra } from "./cassandra.ts";
import { CassandraSchemaError } from "./cassandra-client.ts";
import {
  type CassandraSchema,
  checkCassandraSchema,
  migrateCassandraSchemas,
} from "./cassandra-migrations.ts";
import { createTestKeyspace } from "./testing/test-keyspace.ts";

function schemaOf(component: string, versions: number): CassandraSchema {
  const migrations = Array.from({ length: versions }, (_, at) => ({
    version: at + 1,
    name: `step-${at + 1}`,
    statements: [
      `CREATE TABLE IF NOT EXISTS ${component}_${at + 1} (a int PRIMARY KEY)`,
      `CREATE TABLE IF NOT EXISTS ${component}_${at + 1}_more (a int PRIMARY KEY)`,
    ],
  }));
  return { component, migrations };
}

describe("migrations of Cassandra", () => {
  it("apply what is missing, each component's for itself, and nothing twice", async () => {
    await using keyspace = createTestKeyspace();
    const { config } = keyspace;
    assert.deepEqual(await migrateCassandraSchemas(config, [schemaOf("one", 1)]), [
      "one/0001-step-1",
    ]);
    const both = [schemaOf("one", 2), schemaOf("two", 1)];
    assert.deepEqual(await migrateCassandraSchemas(config, both), [
      "one/0002-step-2",
      "two/0001-step-1",
    ]);
    assert.deepEqual(await migrateCassandraSchemas(config, both), []);
    const tables = await keyspace.execute(
      `SELECT table_name FROM system_schema.tables WHERE keyspace_name = '${config.keyspace}'`,
    );
    assert.equal(tables.length, 7);
  });

  it("may be run from several places at once", async () => {
    await using keyspace = createTestKeyspace();
    const { config } = keyspace;
    const schemas = [schemaOf("one", 2)];
    await Promise.all([1, 2, 3].map(() => migrateCassandraSchemas(config, schemas)));
    await using session = await connectCassandra({ config, applicationName: "test" });
    for (const schema of schemas) await checkCassandraSchema(session, schema);
    for (const table of ["one_1", "one_2_more"]) {
      await session.write({ query: `INSERT INTO ${table} (a) VALUES (?)`, params: [1] });
      assert.equal((await session.read(`SELECT a FROM ${table}`, [])).length, 1);
    }
  });

  it("go on where they were interrupted", async () => {
    await using keyspace = createTestKeyspace();
    const { config } = keyspace;
    const schema = schemaOf("one", 2);
    const broken = { version: 2, name: "step-2", statements: ["CREATE TABLE IF NOT EXISTS oops"] };
    const half = { ...schema, migrations: [...schema.migrations.slice(0, 1), broken] };
    await assert.rejects(migrateCassandraSchemas(config, [half]), /oops|no viable|mismatched/);
    assert.deepEqual(await migrateCassandraSchemas(config, [schema]), ["one/0002-step-2"]);
  });

  it("are asked for when the keyspace is older, and refused when it is newer", async () => {
    await using keyspace = createTestKeyspace();
    const { config } = keyspace;
    await migrateCassandraSchemas(config, [schemaOf("one", 2)]);
    await using session = await connectCassandra({ config, applicationName: "test" });
    await checkCassandraSchema(session, schemaOf("one", 2));
    const older = checkCassandraSchema(session, schemaOf("one", 3));
    await assert.rejects(older, isSchemaError(/version 2, .* needs 3\. Run `parley migrate`/));
    const none = checkCassandraSchema(session, schemaOf("two", 1));
    await assert.rejects(none, isSchemaError(/version 0, .* needs 1\. Run `parley migrate`/));
    const newer = checkCassandraSchema(session, schemaOf("one", 1));
    await assert.rejects(newer, isSchemaError(/version 2, .* up to 1\. Run the version/));
    await assert.rejects(
      migrateCassandraSchemas(config, [schemaOf("one", 1)]),
      CassandraSchemaError,
    );
  });

  it("are asked for in a keyspace that somebody made by hand", async () => {
    await using keyspace = createTestKeyspace();
    const { config } = keyspace;
    const replication = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}";
    await keyspace.execute(`CREATE KEYSPACE ${config.keyspace} WITH replication = ${replication}`);
    await using session = await connectCassandra({ config, applicationName: "test" });
    const check = checkCassandraSchema(session, schemaOf("one", 1));
    await assert.rejects(check, isSchemaError(/parley migrate/));
  });
});

function isSchemaError(pattern: RegExp) {
  return (error: unknown) => error instanceof CassandraSchemaError && pattern.test(error.message);
}

/** The inbox store's tables: what this version knows, and how a keyspace comes to have them. */
import type { CassandraConfig } from "@parley/platform/storage/engine/cassandra-config";
import {
  type CassandraSchema,
  migrateCassandraSchemas,
  readMigrations,
} from "@parley/platform/storage/engine/cassandra-migrations";

/** Read when it is asked for: whoever does not use Cassandra needs none of these files. */
export function fanoutSchema(): CassandraSchema {
  return {
    component: "fanout",
    migrations: readMigrations(new URL("./migrations/", import.meta.url)),
  };
}

/**
 * Creates the keyspace if there is none, and applies what is missing. May be run twice, and from two places at
 * once. Returns what it applied. Rejects with CassandraUnavailableError, CassandraSchemaError or SettingError.
 */
export function migrateCassandra(config: CassandraConfig): Promise<readonly string[]> {
  return migrateCassandraSchemas(config, [fanoutSchema()]);
}

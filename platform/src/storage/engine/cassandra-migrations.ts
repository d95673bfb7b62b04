/**
 * Tables of a keyspace, by numbered files. Every change can be made again, and all of them go through one node,
 * so that they may be applied twice, and from two places at once.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { Client, Host } from "cassandra-driver";
import { sleep } from "../../async/sleep.ts";
import type { CassandraRow, CassandraSession } from "./cassandra.ts";
import { CassandraSchemaError, connectDriver, createDriver } from "./cassandra-client.ts";
import type { CassandraConfig } from "./cassandra-config.ts";

export type CassandraMigration = {
  /** 1, 2, 3 … */
  readonly version: number;
  /** The file's name without number and ending. */
  readonly name: string;
  readonly statements: readonly string[];
};

/** The tables of one component. Components share a keyspace, each with versions of its own. */
export type CassandraSchema = {
  readonly component: string;
  readonly migrations: readonly CassandraMigration[];
};

const MIGRATIONS_TABLE = `CREATE TABLE IF NOT EXISTS schema_migrations (
  component text, version int, name text, applied_at timestamp,
  PRIMARY KEY (component, version)
)`;

const SELECT_VERSIONS = "SELECT version FROM schema_migrations WHERE component = ?";
const INSERT_VERSION =
  "INSERT INTO schema_migrations (component, version, name, applied_at) VALUES (?, ?, ?, ?)";

const SELECT_SCHEMA_VERSION = "SELECT schema_version FROM system.local";

/** A change of tables flushes some of them, on every node. */
const REQUEST_TIMEOUT_MS = 30_000;
const AGREEMENT_TRIES_MAX = 60;
const AGREEMENT_PAUSE_MS = 1000;

/**
 * The migrations of a directory of files such as `0001-tables.cql`, in order. Throws CassandraSchemaError for a
 * gap in the numbers, and for a statement that could not be made twice.
 */
export function readMigrations(directory: URL): readonly CassandraMigration[] {
  const files = readdirSync(directory)
    .filter((file) => file.endsWith(".cql"))
    .sort();
  return files.map((file, at) => {
    const [, number, name] = /^(\d{4})-([a-z0-9-]+)\.cql$/.exec(file) ?? [];
    if (name === undefined || Number(number) !== at + 1) {
      throw new CassandraSchemaError(`${file} is not called like migration ${at + 1}.`);
    }
    const text = readFileSync(new URL(file, directory), "utf8");
    return { version: at + 1, name, statements: statementsOf(file, text) };
  });
}

/** `--` begins a comment, `;` ends a statement; our files hold neither in texts. */
function statementsOf(file: string, text: string): readonly string[] {
  const statements = text
    .replace(/--.*$/gm, "")
    .split(";")
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
  for (const statement of statements) {
    if (/\bIF NOT EXISTS\b/.test(statement)) continue;
    throw new CassandraSchemaError(
      `${file} holds a statement without IF NOT EXISTS: a migration that was interrupted could not be repeated.`,
    );
  }
  return statements;
}

/**
 * Creates the keyspace if there is none, and applies what is missing of the schemas. Returns what was applied,
 * as `component/0001-name`. Rejects with CassandraUnavailableError, SettingError, and with CassandraSchemaError
 * when the nodes do not agree within a minute, or the keyspace is newer than the schema.
 */
export async function migrateCassandraSchemas(
  config: CassandraConfig,
  schemas: readonly CassandraSchema[],
): Promise<readonly string[]> {
  const client = createDriver(config, {
    applicationName: "parley migrate",
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    speculationDelayMs: REQUEST_TIMEOUT_MS,
  });
  await connectDriver(client, config);
  try {
    const migrator = new Migrator(client, config);
    await migrator.createKeyspace();
    const applied: string[] = [];
    for (const schema of schemas) applied.push(...(await migrator.apply(schema)));
    return applied;
  } finally {
    await client.shutdown();
  }
}

/** Rejects with CassandraSchemaError unless the keyspace is exactly as the schema says. */
export async function checkCassandraSchema(
  session: CassandraSession,
  { component, migrations }: CassandraSchema,
): Promise<void> {
  const newest = migrations.at(-1)?.version ?? 0;
  const found = await readVersion(session, component);
  if (found === newest) return;
  const place = `The tables of ${component} in keyspace ${session.keyspace} are of version ${found}`;
  if (found > newest) throw new CassandraSchemaError(newerText(place, newest));
  throw new CassandraSchemaError(
    `${place}, and this version of Parley needs ${newest}. Run \`parley migrate\`.`,
  );
}

function newerText(place: string, newest: number): string {
  return (
    `${place}, and this version of Parley knows them up to ${newest}. Run the version of Parley whose ` +
    "`parley migrate` was run last."
  );
}

async function readVersion(session: CassandraSession, component: string): Promise<number> {
  try {
    return newestOf(await session.read(SELECT_VERSIONS, [component]));
  } catch (error) {
    // A keyspace that somebody made by hand has no tables yet.
    if (error instanceof Error && /schema_migrations/.test(error.message)) return 0;
    throw error;
  }
}

function newestOf(rows: readonly CassandraRow[]): number {
  return Math.max(0, ...rows.map(({ version }) => Number(version)));
}

class Migrator {
  readonly #client: Client;
  readonly #config: CassandraConfig;

  constructor(client: Client, config: CassandraConfig) {
    this.#client = client;
    this.#config = config;
  }

  async createKeyspace(): Promise<void> {
    const { keyspace, replication } = this.#config;
    const copies = Object.entries(replication).map(([name, count]) => `'${name}': ${count}`);
    const options = ["'class': 'NetworkTopologyStrategy'", ...copies].join(", ");
    await this.#change(`CREATE KEYSPACE IF NOT EXISTS ${keyspace} WITH replication = {${options}}`);
    await this.#client.execute(`USE ${keyspace}`, [], { prepare: false });
    await this.#change(MIGRATIONS_TABLE);
  }

  async apply({ component, migrations }: CassandraSchema): Promise<readonly string[]> {
    const found = await this.#client.execute(SELECT_VERSIONS, [component]);
    const newest = migrations.at(-1)?.version ?? 0;
    const version = newestOf(found.rows);
    if (version > newest) {
      const place = `The tables of ${component} are of version ${version}`;
      throw new CassandraSchemaError(newerText(place, newest));
    }
    const applied: string[] = [];
    for (const migration of migrations.slice(version)) {
      for (const statement of migration.statements) await this.#change(statement);
      const { version, name } = migration;
      await this.#client.execute(INSERT_VERSION, [component, version, name, new Date()]);
      applied.push(`${component}/${String(version).padStart(4, "0")}-${name}`);
    }
    return applied;
  }

  /**
   * Makes one change, and waits until all nodes of the datacenter know it. Two nodes that create the same table at once make two
   * different ones, and do not agree for ever; so whoever migrates asks the same node, which makes one change
   * after the other.
   */
  async #change(statement: string): Promise<void> {
    const [host] = this.#hosts();
    await this.#client.execute(statement, [], {
      prepare: false,
      ...(host === undefined ? {} : { host }),
    });
    for (let tries = 0; tries < AGREEMENT_TRIES_MAX; tries++) {
      if (await this.#agree()) return;
      await sleep(AGREEMENT_PAUSE_MS);
    }
    const text = "The nodes do not agree on their tables; look at `nodetool describecluster`.";
    throw new CassandraSchemaError(`${text} Then run \`parley migrate\` again.`);
  }

  async #agree(): Promise<boolean> {
    const versions = await Promise.all(
      this.#hosts().map((host) =>
        this.#client.execute(SELECT_SCHEMA_VERSION, [], { prepare: false, host }),
      ),
    );
    return new Set(versions.map((found) => String(found.first().schema_version))).size <= 1;
  }

  /** The nodes that can be asked, always in the same order. */
  #hosts(): readonly Host[] {
    const { datacenter } = this.#config;
    return this.#client.hosts
      .values()
      .filter((host) => host.isUp() && host.datacenter === datacenter)
      .sort((a, b) => (a.address < b.address ? -1 : 1));
  }
}

/** `parley migrate`: brings what is on the engines to the state that this version needs. */

import { migrateDirectory } from "@parley/directory/engine/mysql-migrations";
import { fanoutSchema } from "@parley/fanout/engine/migrations";
import { messageSchema } from "@parley/message/engine/migrations";
import { ConfigError, type Env } from "@parley/platform/config";
import { createLifecycle } from "@parley/platform/lifecycle";
import type { OutputStream } from "@parley/platform/process-output";
import { EXIT_USAGE } from "@parley/platform/run-process";
import { migrateCassandraSchemas } from "@parley/platform/storage/engine/cassandra-migrations";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { type StandaloneConfig, toStandaloneConfig } from "./config.ts";
import { openLog } from "./open-log.ts";

export const migrateHelp = `Usage: parley migrate

Makes the keyspace, tables and topics that this version needs on the engines that the settings name, and says what
it did. May be run twice, and from two places at once. Run it before \`parley serve\` of a new version.
`;

export type MigrateOptions = {
  readonly args: readonly string[];
  readonly env: Env;
  readonly stdout: Pick<OutputStream, "write">;
  readonly stderr: Pick<OutputStream, "write">;
};

/** Returns the exit code. */
export async function migrate({ args, env, stdout, stderr }: MigrateOptions): Promise<number> {
  if (args.some((arg) => arg === "--help" || arg === "-h")) {
    stdout.write(migrateHelp);
    return 0;
  }
  try {
    const done = await migrateEngines(toStandaloneConfig(env));
    for (const line of done) stdout.write(`${line}\n`);
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) {
      stderr.write(`${error.message}\nSee docs/operating.md, "Engines".\n`);
      return EXIT_USAGE;
    }
    if (error instanceof Error) {
      stderr.write(`The engines could not be migrated: ${error.message}\n`);
      return 1;
    }
    throw error;
  }
}

/** What was done, a line each. */
async function migrateEngines(config: StandaloneConfig): Promise<readonly string[]> {
  const { cassandra } = config.message;
  const { mysql } = config.directory;
  const lines: string[] = [];
  if (cassandra !== undefined) {
    const schemas = [messageSchema(), fanoutSchema()];
    const applied = await migrateCassandraSchemas(cassandra, schemas);
    lines.push(`Cassandra keyspace ${cassandra.keyspace}: ${summary(applied)}`);
  }
  if (mysql !== undefined) {
    const applied = await migrateDirectory(mysql);
    lines.push(`MySQL database ${mysql.database}: ${summary(applied)}`);
  }
  if (config.kafka !== undefined) lines.push(await makeTopics(config, config.kafka.prefix));
  if (lines.length === 0)
    lines.push("No engine is configured: a server with its data in a folder migrates itself.");
  return lines;
}

function summary(applied: readonly string[]): string {
  return applied.length === 0 ? "up to date" : applied.join(", ");
}

/** Topics are made when they are first asked for. */
async function makeTopics(config: StandaloneConfig, prefix: string): Promise<string> {
  const telemetry = silentTelemetry();
  const lifecycle = createLifecycle({ log: telemetry.log });
  await using log = await openLog(config, { telemetry, lifecycle, tuning: undefined });
  for (const topic of ["messages", "fanout"]) await log.range(topic, 0);
  const { epoch, partitionCount } = log.identity;
  return `Kafka topics ${prefix}messages and ${prefix}fanout: ${partitionCount} partitions, log ${epoch}`;
}

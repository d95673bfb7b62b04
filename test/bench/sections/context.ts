/** What every section of the benchmark is given, and how it starts the server. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { type BenchedServer, startServer } from "../processes.ts";
import type { Row } from "../report.ts";

export type BenchContext = { readonly directory: string; readonly quick: boolean };

/**
 * Settings of the server under test that differ from the defaults: limits that protect against one person or address,
 * because the load comes from one address and few people; and cheap password hashes, because accounts are set-up here.
 */
export const benchEnvironment: Record<string, string> = {
  PARLEY_GATEWAY_SENDS_PER_SECOND: "1000000",
  PARLEY_GATEWAY_CALLS_PER_SECOND: "1000000",
  PARLEY_GATEWAY_OPENS_PER_MINUTE: "1000000",
  PARLEY_GATEWAY_FAILURES_PER_MINUTE: "1000000",
  PARLEY_GATEWAY_SIGN_UPS_PER_MINUTE: "1000000",
  PARLEY_GATEWAY_SIGN_INS_PER_MINUTE: "1000000",
  PARLEY_GATEWAY_CONNECTIONS_PER_ADDRESS: "100000",
  PARLEY_DIRECTORY_ARGON2_MEMORY: "1MiB",
  PARLEY_DIRECTORY_ARGON2_PASSES: "1",
  PARLEY_LOG_LEVEL: "warn",
};

export function startBenchServer(
  context: BenchContext,
  name: string,
  environment: Record<string, string> = {},
): Promise<BenchedServer> {
  return startBenchServerOn(serverDirectory(context, name), environment);
}

/** A new directory for a server's data. */
export function serverDirectory(context: BenchContext, name: string): string {
  return mkdtempSync(join(context.directory, `${name}-`));
}

/** Starts the server on what an earlier one left. */
export function startBenchServerOn(
  directory: string,
  environment: Record<string, string> = {},
): Promise<BenchedServer> {
  return startServer(directory, { ...benchEnvironment, ...environment });
}

/** A target that only a full run can judge. */
export function target(
  context: BenchContext,
  row: { section: string; figure: string; value: string; target: string; ok: boolean },
): Row {
  return { ...row, ok: context.quick ? undefined : row.ok };
}

/** A whole Parley in this process, on a directory of its own and a free port: what scenarios run against. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createStandalone, type StandaloneOverrides } from "@parley/standalone/composition";
import { toStandaloneConfig } from "@parley/standalone/config";

export type TestServer = AsyncDisposable & {
  readonly port: number;
  readonly url: string;
  readonly dataDirectory: string;
};

export type TestServerOptions = {
  /** Settings that differ from the tests' defaults. */
  readonly environment?: Record<string, string>;
  /** Kept after the server has ended; a temporary one is made and removed otherwise. */
  readonly dataDirectory?: string;
  /** Parts that a test replaces: where spans go, the files of the log. */
  readonly overrides?: StandaloneOverrides;
};

/** Cheap password hashes and no rate limits: many people come from one address here. */
export const testEnvironment: Record<string, string> = {
  PARLEY_GATEWAY_HOST: "127.0.0.1",
  PARLEY_GATEWAY_PORT: "0",
  PARLEY_GATEWAY_SENDS_PER_SECOND: "1000000",
  PARLEY_GATEWAY_CALLS_PER_SECOND: "1000000",
  PARLEY_GATEWAY_OPENS_PER_MINUTE: "1000000",
  PARLEY_GATEWAY_FAILURES_PER_MINUTE: "1000000",
  PARLEY_GATEWAY_SIGN_UPS_PER_MINUTE: "1000000",
  PARLEY_GATEWAY_SIGN_INS_PER_MINUTE: "1000000",
  PARLEY_GATEWAY_CONNECTIONS_PER_ADDRESS: "100000",
  PARLEY_DIRECTORY_ARGON2_MEMORY: "1MiB",
  PARLEY_DIRECTORY_ARGON2_PASSES: "1",
  PARLEY_GATEWAY_OPERATOR_TOKEN: "operator-token-for-tests",
  PARLEY_LOG_LEVEL: "silent",
};

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const dataDirectory = options.dataDirectory ?? (await mkdtemp(join(tmpdir(), "parley-test-")));
  const environment = {
    ...testEnvironment,
    PARLEY_DATA_DIRECTORY: dataDirectory,
    ...options.environment,
  };
  const standalone = await createStandalone(toStandaloneConfig(environment), options.overrides);
  await standalone.start();
  return {
    port: standalone.address.port,
    url: `http://127.0.0.1:${standalone.address.port}`,
    dataDirectory,
    async [Symbol.asyncDispose]() {
      await standalone[Symbol.asyncDispose]();
      if (options.dataDirectory === undefined)
        await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

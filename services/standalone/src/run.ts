/** `parley serve`: runs the standalone server in the foreground and says how to chat with it. */
import { parseArgs } from "node:util";
import { ConfigError, type Env } from "@parley/platform/config";
import { createProcessOutput, type OutputStream } from "@parley/platform/process-output";
import { EXIT_USAGE, type ProcessHost, runProcess } from "@parley/platform/run-process";
import { createLogger } from "@parley/platform/telemetry/logger";
import { createStandalone, type Standalone } from "./composition.ts";
import { type StandaloneConfig, toStandaloneConfig } from "./config.ts";

export type RunStandaloneOptions = {
  /** Arguments after `serve`. */
  readonly args: readonly string[];
  readonly env: Env;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** The process that is run: signals come from it, and it exits when the server has stopped. */
  readonly host: ProcessHost;
};

export const serveHelp = `Usage: parley serve [service…] [options]

Runs a whole Parley server in this process, with its data in a folder; or only some of its services (gateway,
directory, message, fanout, presence), beside others that run elsewhere: docs/operating.md, "Split".

  --port N      the port for everything (default 8080; PARLEY_GATEWAY_PORT)
  --host HOST   the address to listen on (default 127.0.0.1; PARLEY_GATEWAY_HOST)
  --data DIR    where everything is kept (default ./data; PARLEY_DATA_DIRECTORY)
  --demo        creates demo accounts (PARLEY_DEMO)
  --help        this text

Every other setting is an environment variable: docs/operating.md lists them.
`;

/** Returns the exit code when nothing could be started; otherwise the process exits by itself. */
export async function runStandalone(options: RunStandaloneOptions): Promise<number | undefined> {
  const { host } = options;
  const stdout = createProcessOutput(options.stdout);
  const stderr = createProcessOutput(options.stderr);
  let config: StandaloneConfig;
  try {
    const settings = readSettings(options);
    if (settings === undefined) {
      stdout.write(serveHelp);
      return 0;
    }
    config = toStandaloneConfig(settings);
  } catch (error) {
    if (!(error instanceof ConfigError) && !isUsageError(error)) throw error;
    stderr.write(`${error.message}\nRun \`parley serve --help\`, or see docs/operating.md.\n`);
    return EXIT_USAGE;
  }
  const log = createLogger({
    serviceName: "parley",
    level: config.logLevel,
    format: config.logFormat,
    destination: stderr,
  });
  await runProcess({
    host,
    log,
    notices: stderr,
    drainMs: config.drainMs,
    async start() {
      const standalone = await createStandalone(config, { logDestination: stderr });
      await standalone.start();
      stdout.write(config.services.has("gateway") ? banner(standalone, config) : plain(config));
      return standalone;
    },
  });
  return undefined;
}

/** The environment with the arguments laid over it; undefined if help was asked for. */
function readSettings({ args, env }: RunStandaloneOptions): Env | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      port: { type: "string" },
      host: { type: "string" },
      data: { type: "string" },
      demo: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  return {
    ...env,
    ...(positionals.length === 0 ? {} : { PARLEY_SERVICES: positionals.join() }),
    ...(values.port === undefined ? {} : { PARLEY_GATEWAY_PORT: values.port }),
    ...(values.host === undefined ? {} : { PARLEY_GATEWAY_HOST: values.host }),
    ...(values.data === undefined ? {} : { PARLEY_DATA_DIRECTORY: values.data }),
    ...(values.demo === undefined ? {} : { PARLEY_DEMO: "true" }),
  };
}

function isUsageError(error: unknown): error is Error {
  return (
    error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS")
  );
}

/** What a process says that nobody chats with. */
function plain({ services, split }: StandaloneConfig): string {
  const at = split === undefined ? "" : ` on ${split.listen.host}:${split.listen.port}`;
  return `\n  Parley's ${[...services].join(", ")} is ready${at}\n\n`;
}

function banner(standalone: Standalone, config: StandaloneConfig): string {
  const { host, port } = standalone.address;
  const scheme = config.gateway.tls === undefined ? "http" : "https";
  const url = `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const server = port === 8080 && scheme === "http" ? "" : ` --server ${url}`;
  const lines = [
    "",
    `  Parley is ready on ${url}`,
    `  Data: ${config.dataDirectory}`,
    "",
    "  Chat, in two other terminals:",
    `    npm run parley -- chat${server} --user ana --sign-up`,
    `    npm run parley -- chat${server} --user ben --sign-up --with ana`,
    "",
    "  Conversations are server-readable: whoever operates this server can read them.",
    "",
  ];
  if (standalone.demoAccounts.length > 0) {
    const names = standalone.demoAccounts.map((account) => account.username).join(", ");
    lines.push(`  Demo accounts: ${names}; password ${standalone.demoAccounts[0]?.password}`, "");
  }
  return `${lines.join("\n")}\n`;
}

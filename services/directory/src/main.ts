/** The directory as a process of its own, behind gRPC. `parley serve` needs it not: it has all in one process. */
import { createProcessOutput } from "@parley/platform/process-output";
import { EXIT_USAGE, readSettings, runProcess } from "@parley/platform/run-process";
import { createTelemetry } from "@parley/platform/telemetry/telemetry";
import { readEnvironment, toDirectoryConfig, toProcessConfig } from "./config.ts";
import { startDirectoryProcess } from "./directory-process.ts";

const stdout = createProcessOutput(process.stdout);
const notices = createProcessOutput(process.stderr);
const settings = readSettings(
  () => [toDirectoryConfig(readEnvironment(process.env)), toProcessConfig(process.env)] as const,
  notices,
);
if (settings === undefined) process.exit(EXIT_USAGE);
const [config, processConfig] = settings;
const telemetry = createTelemetry({
  serviceName: "directory",
  logLevel: processConfig.logLevel,
  logFormat: processConfig.logFormat,
  logDestination: stdout,
  showPersonal: false,
  processMetrics: true,
});
const start = () => startDirectoryProcess(config, processConfig, telemetry);
const { log } = telemetry;
await runProcess({ host: process, log, notices, start, drainMs: processConfig.drainMs });

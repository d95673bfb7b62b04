/** The directory as a process of its own, behind gRPC. `parley serve` needs it not: it has all in one process. */
import { runProcess } from "@parley/platform/run-process";
import { createTelemetry } from "@parley/platform/telemetry/telemetry";
import { readEnvironment, toDirectoryConfig, toProcessConfig } from "./config.ts";
import { startDirectoryProcess } from "./directory-process.ts";

const config = toDirectoryConfig(readEnvironment(process.env));
const processConfig = toProcessConfig(process.env);
const telemetry = createTelemetry({
  serviceName: "directory",
  logLevel: processConfig.logLevel,
  logFormat: processConfig.logFormat,
  logDestination: process.stdout,
  showPersonal: false,
  processMetrics: true,
});

await runProcess({
  host: process,
  log: telemetry.log,
  start: () => startDirectoryProcess(config, processConfig, telemetry),
  drainMs: processConfig.drainMs,
});

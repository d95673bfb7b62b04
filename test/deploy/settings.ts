/** What the deployment files have in common: they set variables of ours, and a process has to accept them. */
import { toStandaloneConfig } from "@parley/standalone/config";
import { listVariables } from "../tidy/shape.ts";
import { listFiles, readSources } from "../tidy/sources.ts";

export type Environment = Readonly<Record<string, string>>;

/** One process of a deployment. */
export type Process = {
  readonly name: string;
  /** After `parley`. */
  readonly args: readonly string[];
  readonly environment: Environment;
};

const sources = readSources();

export const variables: readonly string[] = listVariables(sources);

/** Whether a process answers this path for operators and orchestrators. */
export function isPage(path: string | undefined): boolean {
  return sources.some(
    ({ path: file, text, test }) =>
      !test && /^(gateway|platform|services)\//.test(file) && text.includes(`case "${path}":`),
  );
}

/** The folders of services/, and the gateway: what has to run somewhere. */
export const serviceNames: readonly string[] = [
  ...new Set(listFiles("services").map((path) => path.split("/")[1] ?? "")),
]
  .filter((name) => name !== "standalone" && name !== "README.md")
  .concat("gateway");

/** Services that a process runs; none for `migrate`, all for a bare `serve`. */
export function servedBy({ args }: Process): readonly string[] {
  if (args[0] !== "serve") return [];
  return args.length === 1 ? serviceNames : args.slice(1);
}

/** The configuration that the process would have. Throws ConfigError. */
export function configOf(process: Process) {
  const served = process.args.slice(1).join();
  return toStandaloneConfig({
    ...process.environment,
    ...(process.args[0] === "serve" && served !== "" ? { PARLEY_SERVICES: served } : {}),
  });
}

/** Names that no code reads, values that it refuses, and commands that there are not. */
export function checkSettings(process: Process): string[] {
  const { name, args, environment } = process;
  const problems = Object.keys(environment)
    .filter((key) => key.startsWith("PARLEY_") && !variables.includes(key))
    .map((key) => `${name} sets ${key}, which no code reads`);
  if (args[0] !== "serve" && args[0] !== "migrate") problems.push(`${name} runs ${args.join(" ")}`);
  try {
    configOf(process);
  } catch (error) {
    problems.push(`${name}: ${error instanceof Error ? error.message : error}`);
  }
  return problems;
}

/** A process of a split deployment has every engine; what it kept in a folder, others would not see. */
export function checkEngines(process: Process): string[] {
  const { kafka, message, fanout, directory, presence } = configOf(process);
  const engines = {
    kafka,
    cassandra: message.cassandra,
    "cassandra for inboxes": fanout.cassandra,
    mysql: directory.mysql,
    redis: presence.redis,
  };
  return Object.entries(engines)
    .filter(([, config]) => config === undefined)
    .map(([engine]) => `${process.name} has no ${engine}`);
}

/** `host:port` of every other part that the variables name, with the variable. */
export function addressesIn(environment: Environment): { variable: string; address: string }[] {
  return Object.entries(environment).flatMap(([variable, value]) => {
    if (/_(URLS?|ADDRESSES|BROKERS|CONTACT_POINTS)$/.test(variable)) {
      return value.split(",").map((text) => ({
        variable,
        address: text.includes("://") ? new URL(text).host : text.trim(),
      }));
    }
    return [];
  });
}

/** `250ms`, `5s`, `1m`, in ms. */
export function toMs(text: string): number {
  const [, digits, unit] = /^(\d+)(ms|s|m)$/.exec(text) ?? [];
  if (digits === undefined) throw new Error(`${text} is no duration`);
  return Number(digits) * (unit === "ms" ? 1 : unit === "s" ? 1000 : 60_000);
}

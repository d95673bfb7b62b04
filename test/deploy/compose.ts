/** A Compose file, and what can be wrong with it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { readText, repositoryRoot } from "../tidy/sources.ts";
import { type Image, readImage } from "./image.ts";
import {
  addressesIn,
  checkSettings,
  configOf,
  type Environment,
  isPage,
  type Process,
  servedBy,
  toMs,
} from "./settings.ts";

export type ComposeService = {
  image?: string;
  build?: { context: string; dockerfile: string };
  command?: string[];
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
  networks?: string[] | Record<string, { ipv4_address?: string }>;
  ports?: string[];
  volumes?: string[];
  ulimits?: { nofile?: number };
  restart?: string;
  stop_grace_period?: string;
};

export type Compose = {
  /** The file's folder, from the repository's root. */
  readonly folder: string;
  readonly services: Record<string, ComposeService>;
  readonly networks: Record<string, unknown>;
  readonly volumes: Record<string, unknown>;
};

const SECRET = "a-secret-of-the-test-0123456789";
const image: Image = readImage(readText("deploy/Dockerfile"));

export function readCompose(path: string): Compose {
  // What the operator fills in; Compose itself refuses to start without.
  const text = readText(path).replace(/\$\{(\w+):\?[^}]*\}/g, (_, name: string) => {
    if (new RegExp(`^${name}=$`, "m").test(readText("deploy/.env.example"))) return SECRET;
    throw new Error(`${path} needs ${name}, and deploy/.env.example does not have it`);
  });
  const file = parse(text, { merge: true }) as Partial<Compose>;
  return {
    folder: path.split("/").slice(0, -1).join("/"),
    services: file.services ?? {},
    networks: file.networks ?? {},
    volumes: file.volumes ?? {},
  };
}

export function processesOf({ services }: Compose): Process[] {
  return Object.entries(services)
    .filter(([, service]) => service.image?.startsWith("parley:"))
    .map(([name, { command, environment }]) => ({
      name,
      args: command ?? ["serve"],
      environment: { ...image.environment, ...environment },
    }));
}

/** The port of what is not ours, by the image's name. */
const ENGINE_PORTS: Readonly<Record<string, number>> = {
  "apache/kafka": 9092,
  "scylladb/scylla": 9042,
  mariadb: 3306,
  redis: 6379,
};

/** Where a service can be called from its own network. */
function portsOf(compose: Compose, name: string): number[] {
  const { image: imageName = "", volumes = [] } = compose.services[name] ?? {};
  if (imageName.startsWith("haproxy:")) {
    const config = join(compose.folder, volumes[0]?.split(":")[0] ?? "");
    return [...readText(config).matchAll(/^ +bind :(\d+)/gm)].map((match) => Number(match[1]));
  }
  const process = processesOf(compose).find((candidate) => candidate.name === name);
  if (process === undefined) return [ENGINE_PORTS[imageName.split(":")[0] ?? ""] ?? 0];
  const { split, gateway } = configOf(process);
  const served = servedBy(process).includes("gateway") ? [gateway.port] : [];
  return split === undefined ? served : [...served, split.listen.port];
}

export function networksOf({ networks = ["default"] }: ComposeService): string[] {
  return Array.isArray(networks) ? networks : Object.keys(networks);
}

export function checkProcesses(compose: Compose): string[] {
  return processesOf(compose).flatMap((process) => {
    const problems = checkSettings(process);
    if (problems.length > 0) return problems;
    const { drainMs } = configOf(process);
    const grace = compose.services[process.name]?.stop_grace_period ?? "10s";
    if (servedBy(process).length > 0 && toMs(grace) <= drainMs) {
      return [`${process.name} is killed after ${grace}, before it has drained`];
    }
    return [];
  });
}

/** Every address names a service that is there, on a shared network, at a port on which it listens. */
export function checkAddresses(compose: Compose): string[] {
  const instances = new Map(processesOf(compose).map((process) => [process.name, process]));
  return [...instances.values()].flatMap(({ name, environment, args }) => {
    const problems = addressesIn(environment).flatMap(({ variable, address }) => {
      const [host = "", port] = address.split(":");
      const target = compose.services[host];
      if (target === undefined) return [`${name}: ${variable} names ${host}, which is not there`];
      if (!portsOf(compose, host).includes(Number(port))) {
        return [`${name}: ${variable} names ${address}, where nothing listens`];
      }
      const shared = networksOf(target).some((network) =>
        networksOf(compose.services[name] ?? {}).includes(network),
      );
      if (!shared) return [`${name} shares no network with ${host}`];
      const wanted = /^PARLEY_(\w+)_ADDRESSES$/.exec(variable)?.[1]?.toLowerCase();
      const process = instances.get(host);
      const serves = process !== undefined && servedBy(process).includes(wanted ?? "");
      return wanted !== undefined && !serves ? [`${name}: ${host} does not serve ${wanted}`] : [];
    });
    const listen = environment.PARLEY_INTERNAL_LISTEN?.split(":")[1];
    if (args[0] !== "serve" || listen === undefined) return problems;
    const own = `${name}:${listen}`;
    if (environment.PARLEY_ADVERTISED_ADDRESS !== own) problems.push(`${name} is not at ${own}`);
    for (const service of servedBy({ name, environment, args })) {
      const variable = `PARLEY_${service.toUpperCase()}_ADDRESSES`;
      const unnamed = [...instances.values()].filter(
        (other) => variable in other.environment && !namesOf(other.environment, variable, own),
      );
      if (service !== "gateway") {
        problems.push(...unnamed.map((other) => `${other.name} does not know ${own}`));
      }
    }
    return problems;
  });
}

function namesOf(environment: Environment, variable: string, address: string): boolean {
  return (environment[variable] ?? "").split(",").includes(address);
}

export function checkDependencies({ services }: Compose): string[] {
  return Object.entries(services).flatMap(([name, { depends_on = {} }]) =>
    Object.entries(depends_on).flatMap(([other, { condition }]) => {
      const target = services[other];
      if (target === undefined) return [`${name} waits for ${other}, which is not there`];
      if (condition === "service_healthy" && target.healthcheck === undefined) {
        return [`${name} waits for the health of ${other}, which has no check`];
      }
      if (condition === "service_completed_successfully" && target.restart !== "no") {
        return [`${name} waits for the end of ${other}, which starts again`];
      }
      return [];
    }),
  );
}

/** Every service that stays has a check, and ours ask for something that is there. */
export function checkHealth(compose: Compose): string[] {
  return Object.entries(compose.services).flatMap(
    ([name, { healthcheck, restart, image: from }]) => {
      if (restart === "no") return [];
      if (restart === undefined) return [`${name} stays away once it has ended`];
      const [kind, ...command] = healthcheck?.test ?? [];
      if (kind === undefined) return [`${name} has no health check`];
      if (kind !== "CMD" && kind !== "CMD-SHELL") return [`${name}: ${kind} is no health check`];
      const problems: string[] = [];
      if (from?.startsWith("parley:") && !image.copied.includes(command[1] ?? "")) {
        problems.push(`${name}: the image does not have ${command[1]}`);
      }
      const url = command.find((word) => /^(http|grpc):/.test(word));
      if (url === undefined) return problems;
      const { port, pathname, protocol } = new URL(url);
      if (!portsOf(compose, name).includes(Number(port))) {
        problems.push(`${name}: nothing listens on ${port}`);
      }
      if (protocol === "http:" && !isPage(pathname)) {
        problems.push(`${name}: there is no page ${pathname}`);
      }
      return problems;
    },
  );
}

export function checkPublished(compose: Compose): string[] {
  return Object.entries(compose.services).flatMap(([name, { ports = [] }]) =>
    ports.flatMap((text) => {
      const [address, , inside] = text.split(":");
      if (address !== "127.0.0.1") return [`${name} publishes ${text} beyond this machine`];
      const listens = portsOf(compose, name).includes(Number(inside));
      return listens ? [] : [`${name} publishes ${text}, where nothing listens`];
    }),
  );
}

/** Networks, volumes, files and images that are named are there, and an image is always the same one. */
export function checkNames(compose: Compose): string[] {
  return Object.entries(compose.services).flatMap(([name, service]) => {
    const problems = networksOf(service)
      .filter((network) => network !== "default" && !(network in compose.networks))
      .map((network) => `${name}: there is no network ${network}`);
    for (const volume of service.volumes ?? []) {
      const [source = ""] = volume.split(":");
      const found = source.startsWith(".")
        ? existsSync(join(repositoryRoot, compose.folder, source))
        : source in compose.volumes;
      if (!found) problems.push(`${name}: there is no volume or file ${source}`);
    }
    if (!/:\d+\.\d+\.\d+(-\w+)?$/.test(service.image ?? "")) {
      problems.push(`${name}: ${service.image} is not one version`);
    }
    if (service.build !== undefined) {
      const context = join(repositoryRoot, compose.folder, service.build.context);
      const dockerfile = join(context, service.build.dockerfile);
      if (!existsSync(dockerfile)) problems.push(`${name}: there is no ${dockerfile}`);
    }
    return problems;
  });
}

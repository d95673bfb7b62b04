/** Which services a process runs, and how it reaches those that run elsewhere. */
import { ConfigError, type Env, parseList, parseText } from "@parley/platform/config";

/** In the order in which they start: whoever is called before whoever calls. */
export const SERVICE_NAMES = ["presence", "fanout", "message", "directory", "gateway"] as const;

export type ServiceName = (typeof SERVICE_NAMES)[number];

export type HostAndPort = { readonly host: string; readonly port: number };

/** A process that is one of several. */
export type SplitConfig = {
  /** Where this process's services listen for the others. */
  readonly listen: HostAndPort;
  /** `host:port` at which the others reach it. */
  readonly advertisedAddress: string;
  /** The secret that all processes of a deployment show each other. */
  readonly serviceToken: string;
  /** `host:port` of the instances of each service that runs elsewhere; gateways are found by their sessions. */
  readonly addresses: Readonly<Partial<Record<ServiceName, readonly string[]>>>;
};

const SERVICES = "PARLEY_SERVICES";
const LISTEN = "PARLEY_INTERNAL_LISTEN";
const ADVERTISED = "PARLEY_ADVERTISED_ADDRESS";
const TOKEN = "PARLEY_SERVICE_TOKEN";
const LISTEN_DEFAULT = "127.0.0.1:7400";
/** As for the operator's token: what cannot be guessed. */
const TOKEN_PATTERN = /^[!-~]{16,}$/;
const ADDRESSES_MAX = 64;
const HOST_AND_PORT = /^([^\s:]+|\[[0-9a-fA-F:]+\]):(\d{1,5})$/;

/** The services of this process: all of them if nothing is said. */
export function toServices(env: Env): ReadonlySet<ServiceName> {
  const names = parseList(SERVICES, env.PARLEY_SERVICES, { default: [] });
  const services = names.map((name) => {
    const known = SERVICE_NAMES.find((service) => service === name);
    if (known !== undefined) return known;
    throw new ConfigError(SERVICES, env.PARLEY_SERVICES, `some of ${SERVICE_NAMES.join(", ")}`);
  });
  return new Set(services.length === 0 ? SERVICE_NAMES : services);
}

/** Undefined for a process that has all services and no others beside it. Throws ConfigError. */
export function toSplitConfig(
  env: Env,
  services: ReadonlySet<ServiceName>,
): SplitConfig | undefined {
  const complete = SERVICE_NAMES.every((name) => services.has(name));
  if (complete && (env.PARLEY_INTERNAL_LISTEN ?? "") === "") return undefined;
  const text = parseText(LISTEN, env.PARLEY_INTERNAL_LISTEN, { default: LISTEN_DEFAULT });
  const listen = toHostAndPort(LISTEN, text);
  const advertisedAddress = parseText(ADVERTISED, env.PARLEY_ADVERTISED_ADDRESS, {
    expected: "host:port at which the other processes reach this one",
  });
  toHostAndPort(ADVERTISED, advertisedAddress);
  return {
    listen,
    advertisedAddress,
    serviceToken: toServiceToken(env),
    addresses: {
      ...elsewhere(env, services, "presence", "PARLEY_PRESENCE_ADDRESSES"),
      ...elsewhere(env, services, "fanout", "PARLEY_FANOUT_ADDRESSES"),
      ...elsewhere(env, services, "message", "PARLEY_MESSAGE_ADDRESSES"),
      ...elsewhere(env, services, "directory", "PARLEY_DIRECTORY_ADDRESSES"),
    },
  };
}

function elsewhere(
  env: Env,
  services: ReadonlySet<ServiceName>,
  service: ServiceName,
  variable: string,
): Partial<Record<ServiceName, readonly string[]>> {
  if (services.has(service)) return {};
  const addresses = parseList(variable, env[variable], { default: [], max: ADDRESSES_MAX });
  if (addresses.length === 0) {
    const expected = `host:port of each ${service} instance, separated by commas`;
    throw new ConfigError(variable, env[variable], expected);
  }
  for (const address of addresses) toHostAndPort(variable, address);
  return { [service]: addresses };
}

function toServiceToken(env: Env): string {
  const token = env.PARLEY_SERVICE_TOKEN ?? "";
  if (TOKEN_PATTERN.test(token)) return token;
  const expected = "the secret that all processes share: 16 or more visible characters, no spaces";
  throw new ConfigError(TOKEN, token, expected, { secret: true });
}

function toHostAndPort(variable: string, text: string): HostAndPort {
  const [, host, port] = HOST_AND_PORT.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535) {
    throw new ConfigError(variable, text, "host:port");
  }
  return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

/** One process's connection to Redis: a server, or a cluster. */
import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { Cluster, Redis, type RedisOptions } from "ioredis";
import { createBackoff } from "../../async/backoff.ts";
import { SettingError } from "../../config.ts";
import type { RedisAddress, RedisConfig } from "./redis-config.ts";
import { redisUnavailable, toRefusal } from "./redis-errors.ts";
import { createRedisSubscriptions, type RedisSubscriptions } from "./redis-subscriptions.ts";

/** A command's or script's name in lower case, and what follows; of a script, the number of its keys comes first. */
export type RedisCommand = readonly [name: string, ...rest: (string | number)[]];

export type SubscriptionHandlers = {
  /** Called with every message of a channel; must neither throw nor wait. */
  readonly onMessage: (channel: string, message: string) => void;
  /** Messages of a tag's channels may have been missed; from now on they come again. Must not throw. */
  readonly onRestored: (tag: string) => void;
};

export type RedisConnection = AsyncDisposable & {
  /** Stands before every key and channel. */
  readonly prefix: string;
  readonly cluster: boolean;
  /** Makes Lua scripts commands, which are run by EVALSHA; the server gets a text when it does not know it. */
  define(scripts: Readonly<Record<string, string>>): void;
  /**
   * Sends commands without waiting in between, so that they cost one round trip per server, and resolves with
   * their replies in order. The keys of one command share a hash tag. Rejects with the first error after
   * all are answered: some may have been carried out. `REDIS_UNAVAILABLE` at once while there is no
   * connection, after COMMAND_TIMEOUT_MS without an answer, and beyond COMMANDS_WAITING_MAX.
   */
  run(commands: readonly RedisCommand[]): Promise<unknown[]>;
  /** As `run`, with a RedisCommandError in the place of each reply that is an error. */
  runEach(commands: readonly RedisCommand[]): Promise<unknown[]>;
  /** Channels of hash tags; sharded ones in a cluster, where plain ones would go to every server. */
  subscribe(handlers: SubscriptionHandlers): RedisSubscriptions;
  /** The command that publishes to such channels inside a script. */
  readonly publishCommand: "PUBLISH" | "SPUBLISH";
  readonly connected: boolean;
};

/** An error in the place of a reply: what the caller is to be told. */
export class RedisCommandError extends Error {
  override readonly name = "RedisCommandError";
  /** What callers are told. */
  readonly refusal: unknown;

  constructor(refusal: unknown) {
    super("the command failed", { cause: refusal });
    this.refusal = refusal;
  }
}

export type RedisConnectionOptions = {
  /** How this process is called in the server's list of clients. */
  readonly clientName: string;
  /** Called when the connection is lost or cannot be made; it is tried again. Must not throw. */
  readonly onProblem?: (error: unknown) => void;
  /** Called when it works again. Must not throw. */
  readonly onRecovered?: () => void;
};

/** A command that was not answered for so long has failed; its outcome is unknown. */
const COMMAND_TIMEOUT_MS = 3000;
/** A connection that owes an answer for so long is dead, and is made again. */
const SILENCE_MAX_MS = 5000;
const CONNECT_TIMEOUT_MS = 5000;
/** Commands without an answer: some hundred batches. Beyond it callers are refused at once. */
const COMMANDS_WAITING_MAX = 20_000;
/** A cluster's redirections of one command, with a pause where a node is missing. */
const REDIRECTIONS_MAX = 5;
const RECONNECT_INITIAL_MS = 50;
const RECONNECT_MAX_MS = 2000;

/**
 * Connects, and resolves after the first attempt, whatever came of it: a server that is down does not keep a
 * service from starting. The connection is made again whenever it is lost. Throws SettingError for
 * certificates that cannot be read.
 */
export async function openRedis(
  config: RedisConfig,
  options: RedisConnectionOptions,
): Promise<RedisConnection> {
  const settings = toSettings(config, options.clientName);
  const driver = config.cluster
    ? createCluster(config.addresses, settings)
    : createServer(config.addresses, settings);
  const connection = createConnection(driver, config, options, settings);
  await firstAttempt(driver);
  return connection;
}

async function firstAttempt(driver: Redis | Cluster): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const end = () => ended.resolve();
  const timer = setTimeout(end, CONNECT_TIMEOUT_MS);
  for (const event of ["ready", "error", "close"]) driver.once(event, end);
  await ended.promise;
  clearTimeout(timer);
  for (const event of ["ready", "error", "close"]) driver.off(event, end);
}

function createConnection(
  driver: Redis | Cluster,
  config: RedisConfig,
  options: RedisConnectionOptions,
  settings: ConnectionSettings,
): RedisConnection {
  let waiting = 0;
  let failing = false;
  let closed = false;
  const report = (error: unknown) => {
    if (!failing && !closed) options.onProblem?.(error);
    failing = true;
  };
  driver.on("error", report);
  driver.on("close", () => report(redisUnavailable("The connection to Redis was lost.")));
  driver.on("ready", () => {
    if (failing) options.onRecovered?.();
    failing = false;
  });
  const subscriptions: RedisSubscriptions[] = [];

  const runEach = async (commands: readonly RedisCommand[]) => {
    if (commands.length === 0) return [];
    if (waiting + commands.length > COMMANDS_WAITING_MAX) {
      throw redisUnavailable("Too many commands wait for Redis.");
    }
    waiting += commands.length;
    try {
      return await (driver instanceof Cluster
        ? sendToCluster(driver, commands)
        : sendPipeline(driver, commands));
    } catch (error) {
      throw toRefusal(error);
    } finally {
      waiting -= commands.length;
    }
  };

  return {
    prefix: config.prefix,
    cluster: config.cluster,
    publishCommand: config.cluster ? "SPUBLISH" : "PUBLISH",
    define(scripts) {
      for (const [name, lua] of Object.entries(scripts)) driver.defineCommand(name, { lua });
    },
    async run(commands) {
      const replies = await runEach(commands);
      for (const reply of replies) if (reply instanceof RedisCommandError) throw reply.refusal;
      return replies;
    },
    runEach,
    subscribe(handlers) {
      const created = createRedisSubscriptions({ driver, settings, handlers });
      subscriptions.push(created);
      return created;
    },
    get connected() {
      return driver.status === "ready";
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      for (const one of subscriptions) await one[Symbol.asyncDispose]();
      driver.disconnect();
    },
  };
}

/** One write for all of them. */
async function sendPipeline(redis: Redis, commands: readonly RedisCommand[]) {
  const replies = await redis.pipeline(commands.map((command) => [...command])).exec();
  return (replies ?? []).map(([error, reply]) =>
    error === null ? reply : new RedisCommandError(toRefusal(error)),
  );
}

type Send = (...rest: (string | number)[]) => Promise<unknown>;

/**
 * Each by itself, none waiting for another: a command that meets a slot on the move is redirected alone, which
 * a pipeline of several slots is not.
 */
function sendToCluster(cluster: Cluster, commands: readonly RedisCommand[]) {
  const byName = cluster as unknown as Readonly<Record<string, Send>>;
  return Promise.all(
    commands.map(async ([name, ...rest]) => {
      try {
        return await byName[name]?.(...rest);
      } catch (error) {
        return new RedisCommandError(toRefusal(error));
      }
    }),
  );
}

function createServer([address]: readonly RedisAddress[], options: ConnectionSettings): Redis {
  return new Redis({ ...options, ...address, enableOfflineQueue: false });
}

function createCluster(addresses: readonly RedisAddress[], options: ConnectionSettings): Cluster {
  const { retryStrategy, ...redisOptions } = options;
  return new Cluster([...addresses], {
    redisOptions,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryStrategy,
    maxRedirections: REDIRECTIONS_MAX,
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
    // Certificates name hosts, and these are resolved when a connection is made.
    ...(options.tls === undefined ? {} : { dnsLookup: (host, done) => done(null, host) }),
  });
}

/** What connections to servers, nodes and channels share. */
export type ConnectionSettings = ReturnType<typeof toSettings>;

function toSettings(config: RedisConfig, clientName: string) {
  const { username, password } = config;
  const tls = toTls(config);
  return {
    connectionName: clientName,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SILENCE_MAX_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // Callers repeat what failed; a command that is sent twice behind their back would be two heartbeats.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    retryStrategy: createReconnectPause(),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
  } satisfies RedisOptions;
}

function createReconnectPause(): (attempt: number) => number {
  const backoff = createBackoff({ initialMs: RECONNECT_INITIAL_MS, maxMs: RECONNECT_MAX_MS });
  return (attempt) => {
    if (attempt <= 1) backoff.reset();
    return backoff.next();
  };
}

function toTls({ tls, tlsCaFile }: RedisConfig): ConnectionOptions | undefined {
  if (!tls) return undefined;
  if (tlsCaFile === undefined) return {};
  try {
    return { ca: readFileSync(tlsCaFile) };
  } catch (cause) {
    const variable = "PARLEY_REDIS_TLS_CA_FILE";
    throw new SettingError(
      variable,
      `${variable} names ${tlsCaFile}, which cannot be read.`,
      cause,
    );
  }
}

/**
 * Parley as separate processes on real engines: two gateways, two instances each of message, fan-out and directory,
 * and one of presence. Every topology has names of its own on the engines, so that tests do not meet.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { removeFromEngines } from "./engines.ts";
import { testEnvironment } from "./server.ts";
import { freePort } from "./server-process.ts";

const repositoryRoot = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const PARLEY = join(repositoryRoot, "clients/cli/src/main.ts");
const FLAGS = ["--disable-warning=ExperimentalWarning", "--disable-warning=TimeoutNegativeWarning"];
const READY_TIMEOUT_MS = 60_000;
const READY_LOOK_MS = 50;

export type SplitProcess = {
  readonly name: string;
  readonly service: string;
  readonly pid: number;
  /** Where the others reach it. */
  readonly address: string;
  /** Of a gateway: where clients reach it. */
  readonly url: string;
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Asks it to drain and end; resolves with its exit code. */
  stop(): Promise<number | null>;
  /** Starts it again, at the same addresses. */
  restart(): Promise<void>;
  /** What it has logged. */
  readLog(): string;
};

export type Split = AsyncDisposable & {
  /** Of one gateway, then of the other, in turn. */
  readonly url: string;
  readonly directory: string;
  /** By name: `gateway-1`, `message-2`, … */
  process(name: string): SplitProcess;
  readonly processes: readonly SplitProcess[];
};

const PARTS = [
  "presence-1",
  "directory-1",
  "directory-2",
  "fanout-1",
  "fanout-2",
  "message-1",
  "message-2",
  "gateway-1",
  "gateway-2",
];

/** Starts everything on the engines that `npm run engines -- up` has started. */
export async function startSplit(environment: Record<string, string> = {}): Promise<Split> {
  const directory = await mkdtemp(join(tmpdir(), "parley-split-"));
  const name = `test${randomBytes(4).toString("hex")}`;
  const shared = { ...engineEnvironment(name), ...environment };
  const ports = new Map<string, { internal: number; http: number }>();
  for (const name of PARTS) ports.set(name, { internal: await freePort(), http: await freePort() });
  const addressesOf = (service: string) =>
    PARTS.filter((name) => name.startsWith(service))
      .map((name) => `127.0.0.1:${ports.get(name)?.internal}`)
      .join();
  const common: Record<string, string> = {
    ...testEnvironment,
    ...shared,
    PARLEY_LOG_LEVEL: "info",
    PARLEY_LOG_FORMAT: "json",
    PARLEY_SERVICE_TOKEN: randomBytes(16).toString("hex"),
    PARLEY_PRESENCE_ADDRESSES: addressesOf("presence"),
    PARLEY_FANOUT_ADDRESSES: addressesOf("fanout"),
    PARLEY_MESSAGE_ADDRESSES: addressesOf("message"),
    PARLEY_DIRECTORY_ADDRESSES: addressesOf("directory"),
  };
  await run(["migrate"], common, join(directory, "migrate.log"));
  const processes = PARTS.map((name) => {
    const { internal, http } = ports.get(name) ?? { internal: 0, http: 0 };
    return new Part(name, { directory, internal, http, environment: common });
  });
  const gateways = processes.filter(({ service }) => service === "gateway");
  let turn = 0;
  const split: Split = {
    get url() {
      return gateways[turn++ % gateways.length]?.url ?? "";
    },
    directory,
    processes,
    process(name) {
      const found = processes.find((part) => part.name === name);
      if (found === undefined) throw new Error(`there is no ${name}`);
      return found;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map((part) => part.stop()));
      await removeFromEngines(name);
      await rm(directory, { recursive: true, force: true });
    },
  };
  try {
    await Promise.all(processes.map((part) => part.restart()));
  } catch (error) {
    await Promise.all(processes.map((part) => part.kill()));
    throw error;
  }
  return split;
}

/** Names of its own on the engines, and few copies of everything: there is one node of each. */
function engineEnvironment(name: string): Record<string, string> {
  return {
    PARLEY_LOG_PARTITIONS: "8",
    PARLEY_KAFKA_BROKERS: "127.0.0.1:19092",
    PARLEY_KAFKA_PREFIX: `${name}.`,
    PARLEY_KAFKA_REPLICATION: "1",
    PARLEY_CASSANDRA_CONTACT_POINTS: "127.0.0.1:19042",
    PARLEY_CASSANDRA_DATACENTER: "datacenter1",
    PARLEY_CASSANDRA_KEYSPACE: name,
    PARLEY_CASSANDRA_REPLICATION: "datacenter1:1",
    PARLEY_MYSQL_URL: `mysql://root@127.0.0.1:13306/${name}`,
    PARLEY_REDIS_URLS: "redis://127.0.0.1:16379",
    PARLEY_REDIS_PREFIX: `${name}:`,
  };
}

type PartOptions = {
  readonly directory: string;
  readonly internal: number;
  readonly http: number;
  readonly environment: Record<string, string>;
};

class Part implements SplitProcess {
  readonly name: string;
  readonly service: string;
  readonly address: string;
  readonly url: string;
  readonly #options: PartOptions;
  readonly #logFile: string;
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();

  constructor(name: string, options: PartOptions) {
    this.name = name;
    this.service = name.replace(/-\d+$/, "");
    this.address = `127.0.0.1:${options.internal}`;
    this.url = `http://127.0.0.1:${options.http}`;
    this.#options = options;
    this.#logFile = join(options.directory, `${name}.log`);
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    if (signal === "SIGKILL" || signal === "SIGTERM") await this.#exited;
  }

  async stop(): Promise<number | null> {
    await this.kill("SIGTERM");
    return this.#child?.exitCode ?? null;
  }

  async restart(): Promise<void> {
    const { directory, internal, http, environment } = this.#options;
    const log = openSync(this.#logFile, "a");
    const child = spawn(process.execPath, [...FLAGS, PARLEY, "serve", this.service], {
      cwd: directory,
      env: {
        ...process.env,
        ...environment,
        PARLEY_DATA_DIRECTORY: join(directory, this.name),
        PARLEY_INTERNAL_LISTEN: this.address,
        PARLEY_ADVERTISED_ADDRESS: this.address,
        PARLEY_GATEWAY_PORT: String(http),
      },
      stdio: ["ignore", log, log],
    });
    this.#child = child;
    this.#exited = once(child, "exit");
    await this.#ready(child, internal);
  }

  readLog(): string {
    return readFileSync(this.#logFile, "utf8");
  }

  async #ready(child: ChildProcess, internal: number): Promise<void> {
    const endMs = Date.now() + READY_TIMEOUT_MS;
    while (Date.now() < endMs) {
      if (child.exitCode !== null) break;
      const ready =
        this.service === "gateway"
          ? await fetch(`${this.url}/readyz`).then(
              ({ ok }) => ok,
              () => false,
            )
          : await takesConnections(internal);
      if (ready) return;
      await sleep(READY_LOOK_MS);
    }
    throw new Error(`${this.name} is not ready:\n${this.readLog().slice(-4000)}`);
  }
}

async function takesConnections(port: number): Promise<boolean> {
  const socket = createConnection({ host: "127.0.0.1", port });
  const connected = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return connected;
}

async function run(
  args: readonly string[],
  environment: Record<string, string>,
  logFile: string,
): Promise<void> {
  const log = openSync(logFile, "a");
  const env = { ...process.env, ...environment };
  const child = spawn(process.execPath, [...FLAGS, PARLEY, ...args], {
    env,
    stdio: ["ignore", log, log],
  });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`parley ${args.join(" ")}:\n${readFileSync(logFile, "utf8")}`);
}

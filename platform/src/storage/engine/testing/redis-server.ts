/** Redis servers that a test may stop, pause and empty: processes of its own, never the shared one. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { sleep } from "../../../async/sleep.ts";
import type { RedisAddress } from "../redis-config.ts";

export type OwnRedis = AsyncDisposable & {
  readonly address: RedisAddress;
  /** Kills it; everything is lost, as it keeps nothing on disk. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Stands still until `resume`: connections stay open, and nothing is answered. */
  pause(): void;
  resume(): void;
};

/** Starts a server on a free port. */
export async function startRedis(settings: readonly string[] = []): Promise<OwnRedis> {
  const directory = await mkdtemp(join(tmpdir(), "parley-redis-"));
  const port = await freePort();
  let child: ChildProcess | undefined;
  const start = async () => {
    const options = ["--port", String(port), "--bind", "127.0.0.1", "--dir", directory];
    const started = spawn("redis-server", [...options, "--save", "", ...settings], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    child = started;
    for await (const text of started.stdout.setEncoding("utf8")) {
      if (String(text).includes("Ready to accept connections")) break;
    }
  };
  const stop = async () => {
    if (child === undefined) return;
    const stopping = child;
    child = undefined;
    stopping.kill("SIGCONT");
    stopping.kill("SIGKILL");
    if (stopping.exitCode === null && stopping.signalCode === null) await once(stopping, "exit");
  };
  await start();
  return {
    address: { host: "127.0.0.1", port },
    start,
    stop,
    pause: () => void child?.kill("SIGSTOP"),
    resume: () => void child?.kill("SIGCONT"),
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export type OwnCluster = AsyncDisposable & {
  readonly nodes: readonly OwnRedis[];
  readonly addresses: readonly RedisAddress[];
  /** Runs `redis-cli --cluster …` and resolves with its output. */
  manage(...words: string[]): Promise<string>;
};

/** Starts a cluster of three nodes without replicas. */
export async function startRedisCluster(): Promise<OwnCluster> {
  await using starting = new AsyncDisposableStack();
  const settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
  const nodes: OwnRedis[] = [];
  for (let index = 0; index < 3; index++) nodes.push(starting.use(await startRedis(settings)));
  const manage = async (...words: string[]) => {
    const { stdout } = await promisify(execFile)("redis-cli", ["--cluster", ...words]);
    return stdout;
  };
  const hosts = nodes.map(({ address: { host, port } }) => `${host}:${port}`);
  await manage("create", ...hosts, "--cluster-yes");
  // Each node learns of the others by itself.
  for (const { address } of nodes) await untilClusterIsUp(address);
  const addresses = nodes.map(({ address }) => address);
  const owned = starting.move();
  return { nodes, addresses, manage, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function untilClusterIsUp({ host, port }: RedisAddress): Promise<void> {
  for (;;) {
    const words = ["-h", host, "-p", String(port), "cluster", "info"];
    const { stdout } = await promisify(execFile)("redis-cli", words);
    if (stdout.includes("cluster_state:ok") && stdout.includes("cluster_known_nodes:3")) return;
    await sleep(20);
  }
}

/** Free, and so is the port that a cluster's nodes talk on, 10,000 above it. */
async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    server.close();
    await once(server, "close");
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    if (port < 55_000) return port;
  }
}

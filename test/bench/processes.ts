/** The processes of a benchmark: the server under test, the bare server, and the load. Each ends with its owner. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { LoadEvent, LoadPlan } from "./load-plan.ts";
import { cpuSeconds } from "./statistics.ts";

const here = dirname(fileURLToPath(import.meta.url));
const repositoryRoot = resolve(here, "../..");
const READY_TIMEOUT_MS = 30_000;

export type ServerProcess = AsyncDisposable & { readonly pid: number; readonly port: number };

/** Starts `parley serve` on a data directory and waits until it is ready. */
export async function startServer(
  dataDirectory: string,
  environment: Record<string, string>,
): Promise<ServerProcess> {
  const port = await freePort();
  const log = createWriteStream(join(dataDirectory, "server.log"), { flags: "a" });
  const child = spawn(
    process.execPath,
    [join(repositoryRoot, "clients/cli/src/main.ts"), "serve"],
    {
      env: {
        ...process.env,
        PARLEY_DATA_DIRECTORY: join(dataDirectory, "data"),
        PARLEY_GATEWAY_PORT: String(port),
        ...environment,
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  await waitUntilReady(child, port, join(dataDirectory, "server.log"));
  return {
    pid: child.pid ?? 0,
    port,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

async function waitUntilReady(child: ChildProcess, port: number, logFile: string): Promise<void> {
  const endMs = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < endMs) {
    if (child.exitCode !== null) throw new Error(`the server stopped; see ${logFile}`);
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return;
    await sleep(50);
  }
  child.kill("SIGKILL");
  throw new Error(`the server was not ready after ${READY_TIMEOUT_MS} ms; see ${logFile}`);
}

/** Starts the bare `ws.send` loop. */
export async function startBareServer(): Promise<ServerProcess> {
  const child = fork(join(here, "bare-ws.main.ts"));
  const [message] = (await once(child, "message")) as [{ port: number }];
  return {
    pid: child.pid ?? 0,
    port: message.port,
    async [Symbol.asyncDispose]() {
      child.disconnect();
      await once(child, "exit");
    },
  };
}

export type LoadProcess = AsyncDisposable & {
  /** Runs a plan and returns its result with the CPU that `serverPid` used within the measured window. */
  run<Result>(
    plan: LoadPlan,
    serverPid: number,
  ): Promise<{ result: Result; serverCpuSeconds: number }>;
};

export function startLoad(): LoadProcess {
  const child = fork(join(here, "load.main.ts"));
  return {
    async run<Result>(plan: LoadPlan, serverPid: number) {
      let cpuAtBegin = 0;
      let cpuAtEnd = 0;
      const done = Promise.withResolvers<Result>();
      const onMessage = (event: LoadEvent) => {
        if (event.event === "window-begins") cpuAtBegin = cpuSeconds(serverPid);
        else if (event.event === "window-ends") cpuAtEnd = cpuSeconds(serverPid);
        else if (event.event === "result") done.resolve(event.result as Result);
        else done.reject(new Error(event.reason));
      };
      const onExit = () => done.reject(new Error("the load process stopped"));
      child.on("message", onMessage);
      child.once("exit", onExit);
      child.send(plan);
      try {
        return { result: await done.promise, serverCpuSeconds: cpuAtEnd - cpuAtBegin };
      } finally {
        child.off("message", onMessage);
        child.off("exit", onExit);
      }
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || !address) throw new Error("no port");
  return address.port;
}

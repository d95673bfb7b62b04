/** A server in a process of its own, on a fixed port, that can be killed and started again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const repositoryRoot = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
/** The flags of `npm start`. */
const serverFlags = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=32"];
const READY_TIMEOUT_MS = 30_000;

export type ServerProcessOptions = {
  /** Holds the data and `server.log`. */
  readonly directory: string;
  readonly port: number;
  readonly environment?: Record<string, string>;
};

export type ServerProcess = AsyncDisposable & {
  readonly pid: number;
  readonly port: number;
  readonly url: string;
  /** Ends the process at once, as a crash does; resolves when it is gone. */
  kill(): Promise<void>;
  /** Asks the process to drain and end; resolves with its exit code. */
  stop(): Promise<number | null>;
};

/** Starts `parley serve` and resolves when `/readyz` says so. */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const { directory, port } = options;
  mkdirSync(directory, { recursive: true });
  const logFile = join(directory, "server.log");
  const log = openSync(logFile, "a");
  const child = spawn(
    process.execPath,
    [...serverFlags, join(repositoryRoot, "clients/cli/src/main.ts"), "serve"],
    {
      cwd: directory,
      env: {
        ...process.env,
        PARLEY_DATA_DIRECTORY: join(directory, "data"),
        PARLEY_GATEWAY_HOST: "127.0.0.1",
        PARLEY_GATEWAY_PORT: String(port),
        ...options.environment,
      },
      stdio: ["ignore", log, log],
    },
  );
  const exited = once(child, "exit");
  await waitUntilReady(child, port, logFile);
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
    return child.exitCode;
  };
  return {
    pid: child.pid ?? 0,
    port,
    url: `http://127.0.0.1:${port}`,
    kill: async () => void (await end("SIGKILL")),
    stop: () => end("SIGTERM"),
    [Symbol.asyncDispose]: async () => void (await end("SIGTERM")),
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
    await sleep(20);
  }
  child.kill("SIGKILL");
  throw new Error(`the server was not ready after ${READY_TIMEOUT_MS} ms; see ${logFile}`);
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

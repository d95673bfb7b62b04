/** The processes of a benchmark: the server under test, the bare server, and the load. Each ends with its owner. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, startServerProcess } from "../harness/server-process.ts";
import type { LoadEvent, LoadPlan } from "./load-plan.ts";
import { cpuSeconds } from "./statistics.ts";

const here = dirname(fileURLToPath(import.meta.url));

export type BenchedServer = AsyncDisposable & { readonly pid: number; readonly port: number };

/** Starts `parley serve` on a directory and waits until it is ready. */
export async function startServer(
  directory: string,
  environment: Record<string, string>,
): Promise<BenchedServer> {
  return startServerProcess({ directory: resolve(directory), port: await freePort(), environment });
}

/** Starts the bare `ws.send` loop. */
export async function startBareServer(): Promise<BenchedServer> {
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

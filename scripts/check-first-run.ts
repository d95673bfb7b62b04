/**
 * `npm run check:first-run`: what README's quick start promises, on a fresh clone.
 *
 * Clones the tree's HEAD into an empty folder, runs `npm start` (which installs), waits until it serves, asks it
 * something over JSON, stops it, and starts it again, which must take less than 3 seconds.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const FIRST_START_MS_MAX = 300_000; // with the installation of all packages
const LATER_START_MS_MAX = 3_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address ? address.port : 0;
}

/** Runs `npm start` until the port answers; returns the process and the time it took. */
async function start(root: string, port: number, maxMs: number): Promise<[ChildProcess, number]> {
  const beganMs = Date.now();
  const child = spawn("npm", ["start"], {
    cwd: root,
    // The path of a shell in which nothing has been installed: `npm run` has put this tree's Node first.
    env: { ...process.env, PATH: outsidePath(), PARLEY_GATEWAY_PORT: String(port) },
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
  });
  for (;;) {
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
    const tookMs = Date.now() - beganMs;
    if (ready) return [child, tookMs];
    if (child.exitCode !== null || tookMs > maxMs) {
      await stop(child);
      throw new Error(`npm start did not serve after ${tookMs} ms`);
    }
    await sleep(20);
  }
}

function outsidePath(): string {
  return (process.env.PATH ?? "")
    .split(":")
    .filter((directory) => !directory.includes("node_modules"))
    .join(":");
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.pid === undefined) return;
  process.kill(-child.pid, "SIGTERM");
  await once(child, "exit");
}

async function ask(port: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/parley.ops.v1.OpsService/GetServerInfo`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  const info = (await response.json()) as { version?: string };
  if (!info.version) throw new Error(`GetServerInfo answered ${JSON.stringify(info)}`);
}

const root = mkdtempSync(join(tmpdir(), "parley-first-run-"));
try {
  const clone = spawnSync("git", ["clone", "-q", process.cwd(), root], { stdio: "inherit" });
  if (clone.status !== 0) throw new Error("git clone failed");
  const port = await freePort();
  const [first, firstMs] = await start(root, port, FIRST_START_MS_MAX);
  await ask(port).finally(() => stop(first));
  const [second, secondMs] = await start(root, port, LATER_START_MS_MAX);
  await ask(port).finally(() => stop(second));
  process.stdout.write(
    `first start ${(firstMs / 1000).toFixed(1)} s, later start ${(secondMs / 1000).toFixed(1)} s\n`,
  );
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  rmSync(root, { recursive: true, force: true });
}

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { createClient } from "@connectrpc/connect";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { newUuid } from "@parley/platform/ids";
import { createGrpcTransport } from "@parley/platform/rpc/grpc-transport";

/** The port that the process says it listens on. */
async function listeningPort(child: ChildProcess): Promise<number> {
  assert.ok(child.stdout !== null);
  for await (const line of createInterface(child.stdout)) {
    const entry: { msg?: string; port?: number } = JSON.parse(line);
    if (entry.msg === "The directory listens." && entry.port !== undefined) return entry.port;
  }
  return assert.fail("the process ended before it listened");
}

test("the process serves gRPC to who shows the service token, and stops on SIGTERM", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-directory-"));
  const main = new URL("./main.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [main], {
    env: {
      PATH: process.env.PATH,
      PARLEY_DATA_DIRECTORY: directory,
      PARLEY_DIRECTORY_LISTEN: "127.0.0.1:0",
      PARLEY_SERVICE_TOKEN: "secret",
      PARLEY_MESSAGE_ADDRESSES: "127.0.0.1:1",
      PARLEY_FANOUT_ADDRESSES: "127.0.0.1:1",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  try {
    await using transport = createGrpcTransport({
      addresses: [`127.0.0.1:${await listeningPort(child)}`],
      serviceToken: "secret",
      serviceName: "test",
      defaultTimeoutMs: 10_000,
    });
    const deviceIds = [newUuid()];
    const client = createClient(DirectoryService, transport);
    const { revokedDeviceIds } = await client.checkDevices({ deviceIds });
    assert.deepEqual(revokedDeviceIds, deviceIds);
  } finally {
    child.kill("SIGTERM");
    await exited;
    await rm(directory, { recursive: true });
  }
  assert.equal(child.exitCode, 0);
});

test("a process that cannot start says which variable it is, in one line", async () => {
  const directory = await mkdtemp(join(tmpdir(), "parley-directory-"));
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const address = other.address();
  const port = typeof address === "object" ? address?.port : 0;
  const main = new URL("./main.ts", import.meta.url).pathname;
  const complete = {
    PARLEY_DIRECTORY_LISTEN: `127.0.0.1:${port}`,
    PARLEY_SERVICE_TOKEN: "secret",
    PARLEY_MESSAGE_ADDRESSES: "127.0.0.1:1",
    PARLEY_FANOUT_ADDRESSES: "127.0.0.1:1",
  };
  try {
    for (const [environment, code, line] of [
      [complete, 1, /^PARLEY_DIRECTORY_LISTEN is 127\.0\.0\.1:\d+, and another program listens/],
      [{ ...complete, PARLEY_SERVICE_TOKEN: "" }, 2, /^PARLEY_SERVICE_TOKEN is not set; expected/],
    ] as const) {
      const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main], {
        env: { PATH: process.env.PATH, PARLEY_DATA_DIRECTORY: directory, ...environment },
        stdio: ["ignore", "ignore", "pipe"],
        timeout: 30_000,
      });
      let told = "";
      child.stderr.on("data", (chunk) => {
        told += chunk;
      });
      const [exitCode] = await once(child, "close");
      assert.equal(exitCode, code, told);
      // What the gRPC library says itself ("E No address added …") is not ours.
      const lines = told.split("\n").filter((text) => text !== "" && !text.startsWith("E "));
      assert.equal(lines.length, 1, told);
      assert.match(lines[0] ?? "", line);
    }
  } finally {
    other.close();
    await rm(directory, { recursive: true });
  }
});

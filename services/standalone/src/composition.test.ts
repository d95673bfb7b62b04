// The whole server: what it says when it starts on what an earlier one left behind.
import assert from "node:assert/strict";
import { appendFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, it } from "node:test";
import { createStandalone } from "./composition.ts";
import { toStandaloneConfig } from "./config.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "parley-standalone-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function create(lines: string[] = [], environment: Record<string, string> = {}) {
  const config = toStandaloneConfig({
    PARLEY_DATA_DIRECTORY: directory,
    PARLEY_GATEWAY_PORT: "0",
    PARLEY_LOG_FORMAT: "json",
    ...environment,
  });
  return createStandalone(config, { logDestination: { write: (line) => lines.push(line) } });
}

it("starts, answers at / and /readyz, drains and ends", async () => {
  await using server = await create();
  await server.start();
  const url = `http://127.0.0.1:${server.address.port}`;
  assert.equal((await fetch(`${url}/readyz`)).status, 200);
  const page = await fetch(url);
  assert.match(await page.text(), /server-readable/);
  assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'/);
  assert.equal((await fetch(`${url}/nothing`)).status, 404);
  await server.drain(1_000);
});

it("cuts off what a crash left half-written, and says so in one line", async () => {
  {
    await using first = await create();
    await first.start();
  }
  const [segment = ""] = (await readdir(join(directory, "log"))).filter((name) =>
    name.endsWith(".segment"),
  );
  await appendFile(join(directory, "log", segment), Buffer.alloc(100, 7));
  const lines: string[] = [];
  await using second = await create(lines);
  await second.start();
  const warnings = lines.map((line) => JSON.parse(line) as { level: string; problem?: string });
  assert.deepEqual(
    warnings.filter(({ level }) => level === "warn").map(({ problem }) => problem),
    ["torn-tail-cut"],
  );
});

it("refuses a directory that another server has open", async () => {
  await using first = await create();
  await first.start();
  await assert.rejects(create(), /LogLockedError|another|open/);
});

it("measures its log, and says that it takes records", async () => {
  await using server = await create();
  await server.start();
  const text = await server.telemetry.metrics.renderMetrics();
  for (const line of [
    'parley_log_consumer_lag_records{topic="messages",group="message"} 0',
    'parley_log_consumer_lag_records{topic="fanout",group="fanout"} 0',
    "parley_log_waiting_appends 0",
  ]) {
    assert.ok(text.includes(line), line);
  }
  // The groups' names have been written, and nothing else.
  assert.match(text, /parley_log_sync_duration_seconds_count [1-9]/);
  const url = `http://127.0.0.1:${server.address.port}`;
  assert.match(await (await fetch(`${url}/readyz`)).text(), /"component":"log","serving":true/);
});

it("makes demo accounts on request, also the second time", async () => {
  const demo = { PARLEY_DEMO: "true", PARLEY_DIRECTORY_ARGON2_MEMORY: "1MiB" };
  for (let round = 0; round < 2; round += 1) {
    await using server = await create([], demo);
    await server.start();
    assert.deepEqual(
      server.demoAccounts.map((account) => account.username),
      ["ana", "ben", "chen"],
    );
  }
});

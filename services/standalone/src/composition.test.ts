// The whole server: what it says when it starts on what an earlier one left behind.
import assert from "node:assert/strict";
import { appendFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createPowerLossFiles } from "@parley/platform/log/embedded/power-loss";
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
  const render = () => server.telemetry.metrics.renderMetrics();
  // The groups' names are written behind the start: what an idle server syncs.
  let text = await render();
  while (!/parley_log_sync_duration_seconds_count [1-9]/.test(text)) {
    await nextTurn();
    text = await render();
  }
  for (const line of [
    'parley_log_consumer_lag_records{topic="messages",group="message"} 0',
    'parley_log_consumer_lag_records{topic="fanout",group="fanout"} 0',
    "parley_log_waiting_appends 0",
  ]) {
    assert.ok(text.includes(line), line);
  }
  const url = `http://127.0.0.1:${server.address.port}`;
  assert.match(await (await fetch(`${url}/readyz`)).text(), /"component":"log","serving":true/);
});

it("is not ready when the log's disk is full, and says what to do", async () => {
  const files = createPowerLossFiles();
  const config = toStandaloneConfig({
    PARLEY_DATA_DIRECTORY: directory,
    PARLEY_GATEWAY_PORT: "0",
  });
  await using server = await createStandalone(config, { log: { files } });
  // The groups' names are what the log writes first.
  files.failNext("append", Object.assign(new Error("ENOSPC: write"), { code: "ENOSPC" }));
  await server.start();
  const url = `http://127.0.0.1:${server.address.port}/readyz`;
  let answer = await fetch(url);
  while (answer.status === 200) answer = await fetch(url);
  const [, first] = (await answer.text()).split("\n");
  assert.match(
    first ?? "",
    /"component":"log","serving":false,.*The disk is full \(ENOSPC\): make room/,
  );
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

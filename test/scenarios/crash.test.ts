// Invariants 1 to 4 under kill -9. Goal: whatever moment the server dies at, every acknowledged message is there once, at
// its place, and a client that reconnects misses nothing. Method: people chat without pause through the SDK while the
// server is killed at random moments and started again; at the end the books are compared with the history.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { testEnvironment } from "../harness/server.ts";
import { freePort, startServerProcess } from "../harness/server-process.ts";
import { startCrashLoad } from "./crash-load.ts";

const ROUNDS = 20;
const ACKED_PER_ROUND_MIN = 1_000;
const KILL_DELAY_MS_MAX = 400;

it(`survives ${ROUNDS} rounds of kill -9 under load`, { timeout: 600_000 }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "parley-crash-"));
  const port = await freePort();
  const start = () =>
    startServerProcess({
      directory,
      port,
      environment: {
        ...testEnvironment,
        PARLEY_GATEWAY_PORT: String(port),
        PARLEY_LOG_LEVEL: "warn",
      },
    });
  let server = await start();
  const load = await startCrashLoad(server);
  const { ledger } = load;
  try {
    const perRound: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const before = ledger.acked;
      await ledger.more(ACKED_PER_ROUND_MIN);
      await sleep(Math.random() * KILL_DELAY_MS_MAX);
      perRound.push(ledger.acked - before);
      await server.kill();
      server = await start();
      await load.online();
    }
    await load.verify();
    assert.ok(Math.min(...perRound) >= ACKED_PER_ROUND_MIN);
    t.diagnostic(
      `${ROUNDS} rounds, ${ledger.acked} messages acknowledged, lost 0, doubled 0, out of order 0`,
    );
  } finally {
    await load[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  }
});

import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { formatLogBench, runLogBench } from "./bench.ts";

test("the benchmark runs and prints a row per log and number of writers", async () => {
  const result = await runLogBench(tmpdir(), 20, 1);
  assert.equal(result.rows.length, 6);
  for (const row of result.rows) {
    assert.ok(row.appendsPerSecond > 0 && row.p50Ms > 0 && row.mainThreadMicros > 0);
  }
  assert.match(formatLogBench(result), /\| segment file \| 50 \| /);
});

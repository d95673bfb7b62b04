/**
 * `npm test`: every test that needs no server of somebody else's. `npm test -- services/message` runs a part.
 *
 * Prints node's own report, then the totals on one line. With `--tally FILE` the totals also go to a file, as
 * `{"passed": n, "failed": n}`, for the gate to add up.
 */
import { spawnSync } from "node:child_process";
import { globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const roots = ["platform", "gateway", "services", "clients", "test"];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tally: { type: "string" },
    concurrency: { type: "string", default: "2" },
    /** Only what needs engines, instead of only what does not. */
    engines: { type: "boolean", default: false },
  },
});

const skipped = ["test/browser/"]; // they need a browser, and have a script of their own
const globs = (positionals.length > 0 ? positionals : roots).flatMap((root) =>
  root.endsWith(".ts") ? [root] : [`${root}/**/*.test.ts`],
);

const files = globs
  .flatMap((glob) => globSync(glob, { exclude: (name) => name === "node_modules" }))
  .filter((file) => !file.includes("node_modules"))
  .filter((file) => !skipped.some((prefix) => file.startsWith(prefix)))
  .filter((file) => file.endsWith(".engine.test.ts") === values.engines)
  .sort();

const counts = join(tmpdir(), `parley-tests-${process.pid}.json`);
const result = spawnSync(
  process.execPath,
  [
    "--disable-warning=ExperimentalWarning", // node:sqlite
    "--disable-warning=TimeoutNegativeWarning", // kafkajs asks for timers in the past, which fire at once
    "--test",
    `--test-concurrency=${values.concurrency}`,
    "--test-timeout=600000",
    "--test-reporter=dot",
    "--test-reporter-destination=stdout",
    "--test-reporter=./scripts/tally-reporter.ts",
    `--test-reporter-destination=${counts}`,
    ...files,
  ],
  { stdio: "inherit" },
);

const totals = JSON.parse(readFileSync(counts, "utf8")) as { passed: number; failed: number };
rmSync(counts);
process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed\n`);
if (values.tally) writeFileSync(values.tally, JSON.stringify(totals));
process.exitCode = result.status === 0 && totals.failed === 0 && totals.passed > 0 ? 0 : 1;

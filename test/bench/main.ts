/**
 * `npm run bench`: what one server does on this machine, with the load in processes of its own.
 *
 * `--quick` runs each part for a second (the gate), `--only direct,group,idle` runs some parts, `--json FILE` also
 * writes the results. Exits non-zero when a message was lost, doubled or out of order, or a target was missed (targets
 * only in a full run: a second says nothing about speed).
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Report, renderReport } from "./report.ts";
import type { BenchContext } from "./sections/context.ts";
import { benchDirect } from "./sections/direct.ts";
import { benchGroup } from "./sections/group.ts";
import { benchIdle } from "./sections/idle.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    json: { type: "string" },
    tally: { type: "string" },
  },
});

const sections = { direct: benchDirect, group: benchGroup, idle: benchIdle };
const wanted = values.only?.split(",") ?? Object.keys(sections);

mkdirSync("bench-results", { recursive: true });
const directory = mkdtempSync(join("bench-results", "run-"));
const context: BenchContext = { directory, quick: values.quick };
const report: Report = {
  machine: `${cpus().length} × ${cpus()[0]?.model ?? "CPU"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`,
  quick: values.quick,
  rows: [],
};

try {
  for (const [name, run] of Object.entries(sections)) {
    if (wanted.includes(name)) report.rows.push(...(await run(context)));
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}

process.stdout.write(renderReport(report));
if (values.json) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
if (report.rows.some((row) => row.ok === false)) process.exitCode = 1;

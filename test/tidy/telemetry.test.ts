// What operators and clients meet by name is written down; and the checks can fail.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readSources, type SourceFile } from "./sources.ts";
import { checkMetrics, checkReasons, listMetrics, listReasons } from "./telemetry.ts";

const files = readSources();

function source(path: string, text: string): SourceFile {
  return { path, text, imports: [], test: false };
}

describe("tidy: names that people meet", () => {
  it("every metric is in docs/operating.md, and every one named there exists", () => {
    assert.ok(listMetrics(files).length > 40, "the scan finds the metrics");
    assert.deepEqual(checkMetrics(files), []);
  });

  it("every reason of a refusal is explained in the contract, a README or docs/operating.md", () => {
    assert.ok(listReasons(files).size > 50, "the scan finds the reasons");
    assert.deepEqual(checkReasons(files), []);
  });

  it("notices a metric without a line, a line without a metric, and a misspelt alert", () => {
    const page = [
      "| `parley_a_total{kind}`, `parley_b_seconds` | both |",
      "| `rate(parley_b_seconds_bucket[5m]) > 1` | fine |",
      "| `rate(parley_b_second_bucket[5m]) > 1` | misspelt |",
      "| `parley_process_*` | Node's own |",
    ].join("\n");
    const code = [
      source("gateway/src/a.ts", 'metrics.counter("parley_a_total")'),
      source("services/b/src/b.ts", 'gauge("parley_c")'),
      source("clients/cli/src/c.ts", '"parley_not_a_metric"'),
    ];
    assert.deepEqual(checkMetrics(code, page), [
      "parley_c has no line in the table of docs/operating.md",
      "docs/operating.md names parley_b_seconds, which nothing registers",
      "docs/operating.md names parley_b_seconds_bucket, which nothing registers",
      "docs/operating.md names parley_b_second_bucket, which nothing registers",
    ]);
  });

  it("finds reasons of one word, of a decision, and behind nested calls; and nothing else", () => {
    const code = [
      source(
        "services/a/src/a.ts",
        'throw unavailable("STOPPING", text(of("x")), { cause: "LATER" }); const m = "POST";',
      ),
      source("services/a/src/domain/b.ts", 'return { refused: "GROUP_FULL" };'),
      source("services/a/src/config.ts", '"PARLEY_X", "NOT_HERE"'),
      source("gateway/src/c.ts", 'env("PARLEY_Y"); code === "ERR_PARSE_ARGS"'),
    ];
    assert.deepEqual([...listReasons(code).keys()].sort(), ["GROUP_FULL", "LATER", "STOPPING"]);
    assert.deepEqual(checkReasons(code, "`STOPPING` and LATER, but `GROUP_FULLY`"), [
      "services/a/src/domain/b.ts refuses with GROUP_FULL, which nothing explains",
    ]);
  });
});

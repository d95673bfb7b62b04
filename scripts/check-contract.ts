/**
 * `npm run check:contract`: the gates of the contract, all offline.
 *
 * lint: STANDARD and COMMENTS. breaking: against `proto/released.binpb`, the contract as last released
 * (`npm run release:contract` moves it, on purpose and with a line in CHANGELOG.md). generated: gen/ts is what
 * `npm run generate` writes.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

function run(command: string, args: readonly string[]): boolean {
  const result = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  return result.status === 0;
}

function checkGenerated(): boolean {
  const directory = mkdtempSync(join(tmpdir(), "parley-gen-"));
  try {
    if (!run("buf", ["generate", "--output", directory])) return false;
    return run("diff", ["-r", "-q", join(directory, "gen/ts"), "gen/ts"]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const gates: readonly (readonly [string, () => boolean])[] = [
  ["lint", () => run("buf", ["lint"])],
  ["format", () => run("buf", ["format", "--diff", "--exit-code", "--path", "proto/parley"])],
  ["breaking", () => run("buf", ["breaking", "proto", "--against", "proto/released.binpb"])],
  ["generated", checkGenerated],
];

for (const [name, gate] of gates) {
  const passed = gate();
  process.stdout.write(`contract ${name}: ${passed ? "ok" : "FAILED"}\n`);
  if (!passed) process.exitCode = 1;
}

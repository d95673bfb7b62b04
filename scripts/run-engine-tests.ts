/**
 * `npm run test:engines`: what needs real engines, on engines that it starts and stops itself. Files are called
 * `*.engine.test.ts`; `npm run test:engines -- services/message` runs a part. Options as in `npm test`.
 *
 * Engines that run already are used and left running.
 */
import { spawnSync } from "node:child_process";

const engines = ["kafka", "cassandra", "mysql", "redis"];

const isUp = (name: string) =>
  spawnSync("bash", ["scripts/engines.sh", "status", name], { encoding: "utf8" }).stdout.includes(
    "is up",
  );

const missing = engines.filter((name) => !isUp(name));
const run = (program: string, args: readonly string[]) =>
  spawnSync(program, args, { stdio: "inherit" }).status ?? 1;

let status = missing.length > 0 ? run("bash", ["scripts/engines.sh", "up", ...missing]) : 0;
try {
  if (status === 0) {
    const args = ["scripts/run-tests.ts", "--engines", ...process.argv.slice(2)];
    status = run(process.execPath, args);
  }
} finally {
  if (missing.length > 0) run("bash", ["scripts/engines.sh", "down", ...missing]);
}
process.exitCode = status;

// Runs before `npm start` and `npm test`: installs the dependencies on a fresh clone, and again when the
// lockfile has changed. Plain JavaScript, because the first run may be on a Node that strips no types.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";

const marker = "node_modules/.package-lock.json";

function isFresh() {
  if (!existsSync(marker)) return false;
  return (
    !existsSync("package-lock.json") ||
    statSync(marker).mtimeMs >= statSync("package-lock.json").mtimeMs
  );
}

if (!isFresh()) {
  process.stderr.write("Installing dependencies (first run, or the lockfile changed) ...\n");
  const result = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], {
    stdio: ["ignore", "ignore", "inherit"],
    shell: process.platform === "win32",
  });
  if (result.status !== 0) {
    process.stderr.write("npm ci failed; run it by hand to see why.\n");
    process.exit(result.status ?? 1);
  }
}

#!/usr/bin/env node
// Plain JavaScript, so that it starts on every Node: the program itself needs Node 24, which runs TypeScript
// directly, and which the repository brings along as a package.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const MAJOR_MIN = 24;
// The server's database module is new in Node; nobody who chats has to read that.
const flags = ["--disable-warning=ExperimentalWarning"];

if (Number.parseInt(process.versions.node, 10) >= MAJOR_MIN) {
  await import(program);
} else {
  const brought = ["../../../node_modules/node/bin/node", "../node_modules/node/bin/node"]
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path));
  if (brought) {
    const { status } = spawnSync(brought, [...flags, program, ...process.argv.slice(2)], {
      stdio: "inherit",
    });
    process.exitCode = status ?? 1;
  } else {
    process.stderr.write(
      `parley needs Node ${MAJOR_MIN} or newer; this is Node ${process.versions.node}.\n` +
        "Install a newer Node, or run `npm install` in the repository, which brings one along.\n",
    );
    process.exitCode = 1;
  }
}

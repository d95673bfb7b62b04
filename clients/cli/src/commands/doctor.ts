/** `parley doctor`: checks, and what to do about what is wrong. */
import { parseOptions, wholeNumber } from "../arguments.ts";
import { checkConfiguration } from "../doctor/configuration.ts";
import { checkDataDirectory } from "../doctor/data-directory.ts";
import type { Finding } from "../doctor/finding.ts";
import { checkNode } from "../doctor/node.ts";
import { checkPort } from "../doctor/port.ts";
import { checkServer } from "../doctor/server.ts";
import { exitCodes } from "../failure.ts";
import type { CliWorld } from "../world.ts";

const COMMAND = "doctor";
const PORT_DEFAULT = 8080;
const PORT_MAX = 65_535;

const marks: Readonly<Record<Finding["level"], string>> = {
  ok: "✓",
  warning: "!",
  problem: "✗",
};

export async function doctor({ args, env, stdout }: CliWorld): Promise<number> {
  const values = parseOptions(COMMAND, args, {
    data: { type: "string" },
    port: { type: "string" },
    server: { type: "string" },
  });
  const port = wholeNumber(COMMAND, "port", values.port ?? env.PARLEY_GATEWAY_PORT, PORT_MAX);
  const host = env.PARLEY_GATEWAY_HOST || "127.0.0.1";
  const checks: (() => Promise<readonly Finding[]>)[] = [
    () => checkNode(globalThis.process.versions.node),
    () => checkConfiguration(env),
    () => checkDataDirectory(values.data ?? (env.PARLEY_DATA_DIRECTORY || "data")),
    () => checkPort(host, port ?? PORT_DEFAULT),
  ];
  const { server } = values;
  if (server !== undefined) checks.push(() => checkServer(server));
  let problems = 0;
  for (const check of checks) {
    for (const { level, what, remedy } of await check()) {
      stdout.write(`${marks[level]} ${what}\n`);
      if (remedy !== undefined) stdout.write(`    ${remedy}\n`);
      if (level === "problem") problems++;
    }
  }
  stdout.write(
    problems === 0
      ? "\nThe server can run here.\n"
      : `\n${problems} to mend before the server can run here.\n`,
  );
  return problems === 0 ? exitCodes.ok : exitCodes.failed;
}

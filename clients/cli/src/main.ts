/** The process of the command line. */
import { runCli } from "./cli.ts";

const controller = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => controller.abort(new Error(`The process received ${signal}.`)));
}
// A reader that went away (`parley chat | head`) is no failure.
process.stdout.on("error", () => controller.abort(new Error("The output was closed.")));

process.exitCode = await runCli({
  args: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  process,
  signal: controller.signal,
});
// Standard input may still be open; nobody reads from it any more.
process.stdin.destroy();

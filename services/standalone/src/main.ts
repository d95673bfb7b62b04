/** The standalone server as a process of its own; `parley serve` is the same. */
import { runStandalone } from "./run.ts";

const code = await runStandalone({
  args: process.argv.slice(2),
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  host: process,
});
if (code !== undefined) process.exitCode = code;

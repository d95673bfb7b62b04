/** Getting a password from a file or from the person at the terminal. */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { CliFailure, exitCodes, usageFailure } from "../failure.ts";
import type { CliWorld } from "../world.ts";

/** @throws CliFailure when there is neither a file nor anybody to ask. */
export async function readPassword(
  file: string | undefined,
  prompt: string,
  world: CliWorld,
): Promise<string> {
  if (file !== undefined) return fromFile(file);
  if (!world.stdin.isTTY) {
    throw usageFailure(
      "A password is needed, and nobody can be asked here: --password-file.",
      "chat",
    );
  }
  world.stdout.write(prompt);
  // What is typed is swallowed instead of shown.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: world.stdin, output: nowhere, terminal: true });
  // Ctrl-C comes as a key press here.
  const cancelled = new AbortController();
  lines.on("SIGINT", () => cancelled.abort());
  try {
    return await lines.question("", { signal: AbortSignal.any([world.signal, cancelled.signal]) });
  } catch (error) {
    throw new CliFailure(
      exitCodes.signIn,
      "No password was given.",
      "Run the command again when you have it.",
      error,
    );
  } finally {
    lines.close();
    world.stdout.write("\n");
  }
}

async function fromFile(file: string): Promise<string> {
  try {
    // The line break at the end belongs to the editor, not to the password.
    return (await readFile(file, "utf8")).replace(/\r?\n$/, "");
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new CliFailure(
      exitCodes.usage,
      `The password file cannot be read: ${text}`,
      "Check the path that --password-file names.",
      error,
    );
  }
}

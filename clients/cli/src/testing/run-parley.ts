/** Runs the command line as a process of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../main.ts", import.meta.url));

export type Finished = { readonly code: number; readonly stdout: string; readonly stderr: string };

export type Running = {
  readonly process: ChildProcessWithoutNullStreams;
  /** Resolves when the output so far satisfies the condition. */
  until(condition: (stdout: string) => boolean): Promise<string>;
  readonly finished: Promise<Finished>;
};

/** A home directory of its own, and a password file in it. */
export async function createHome() {
  const directory = await mkdtemp(join(tmpdir(), "parley-cli-"));
  const passwordFile = join(directory, "password");
  await writeFile(passwordFile, "correct horse\n");
  return {
    directory,
    passwordFile,
    env: { HOME: directory, XDG_CONFIG_HOME: join(directory, "config") },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

export function start(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Running {
  const child = spawn(process.execPath, [program, ...args], {
    env: { PATH: process.env.PATH, ...env },
  });
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    for (const watcher of [...watchers]) watcher();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  // A program that ends before it reads its input is no failure of the test's own.
  child.stdin.on("error", () => {});
  const finished = once(child, "close").then(([code]) => ({ code: Number(code), stdout, stderr }));
  return {
    process: child,
    finished,
    until(condition) {
      return new Promise((resolve, reject) => {
        const watcher = () => {
          if (!condition(stdout)) return;
          watchers.delete(watcher);
          resolve(stdout);
        };
        watchers.add(watcher);
        finished.then((end) => reject(new Error(`It ended first: ${JSON.stringify(end)}`)));
        watcher();
      });
    },
  };
}

/** Runs to the end with the given input. */
export async function run(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  input = "",
): Promise<Finished> {
  const running = start(args, env);
  running.process.stdin.end(input);
  return running.finished;
}

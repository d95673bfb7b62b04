/** Where a person's chat keeps its tokens, positions and unsent messages. */
import { readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { ClientStorage } from "@parley/sdk";
import { DirectoryInUseError, openFileStorage } from "@parley/sdk/node/file-storage";
import { CliFailure, exitCodes, usageFailure } from "../failure.ts";
import type { CliWorld } from "../world.ts";
import type { ChatOptions } from "./options.ts";

/** A name that is safe in a path: other characters become `_`. */
function safe(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9._-]/g, "_");
}

function serverDirectory(server: string, env: CliWorld["env"]): string {
  const configHome = env.XDG_CONFIG_HOME || join(env.HOME || homedir(), ".config");
  const { host, pathname, protocol } = new URL(server);
  const scheme = protocol === "https:" ? "" : "http_";
  return join(configHome, "parley", safe(`${scheme}${host}${pathname === "/" ? "" : pathname}`));
}

/**
 * The directory of the profile.
 *
 * @throws CliFailure when it is open who is meant.
 */
export async function profileDirectory(
  options: Pick<ChatOptions, "server" | "user" | "profile">,
  env: CliWorld["env"],
): Promise<string> {
  if (options.profile !== undefined) return options.profile;
  const directory = serverDirectory(options.server, env);
  if (options.user !== undefined) return join(directory, safe(options.user));
  const known = await readdir(directory).catch(() => []);
  const [only] = known;
  if (only !== undefined && known.length === 1) return join(directory, only);
  const who = known.length === 0 ? "" : ` (${known.join(", ")} have been here)`;
  throw usageFailure(`Say who you are with --user NAME${who}.`, "chat");
}

/** @throws CliFailure when another program has the profile open, or it cannot be read or written. */
export async function openProfile(directory: string, world: CliWorld): Promise<ClientStorage> {
  try {
    return await openFileStorage({ directory, process: world.process });
  } catch (error) {
    if (error instanceof DirectoryInUseError) {
      throw new CliFailure(
        exitCodes.failed,
        `Another parley chat (process ${error.processId}) uses ${directory}.`,
        "Close it, or give this one its own directory with --profile.",
        error,
      );
    }
    const text = error instanceof Error ? error.message : String(error);
    throw new CliFailure(
      exitCodes.failed,
      `The profile directory cannot be used: ${text}`,
      "Make it writable, or choose another one with --profile.",
      error,
    );
  }
}

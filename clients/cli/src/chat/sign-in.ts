/** From a command line to a client of a signed-in person. */
import { hostname } from "node:os";
import { join } from "node:path";
import { type Account, createParleyClient, type ParleyClient } from "@parley/sdk";
import { CliFailure, exitCodes, toFailure, usageFailure } from "../failure.ts";
import type { CliWorld } from "../world.ts";
import type { ChatOptions } from "./options.ts";
import { readPassword } from "./password.ts";
import { openProfile, profileDirectory } from "./profile.ts";

/** What the contract allows for a device's name. */
const DEVICE_NAME_CHARACTERS_MAX = 64;

export type SignedIn = {
  readonly client: ParleyClient;
  readonly account: Account;
  /** Where messages are kept that the server lost. */
  readonly lostFile?: string;
};

/**
 * Opens the profile and signs in if it holds no tokens.
 *
 * @throws CliFailure
 */
export async function openClient(options: ChatOptions, world: CliWorld): Promise<SignedIn> {
  const directory = await profileDirectory(options, world.env);
  const storage = await openProfile(directory, world);
  const client = createParleyClient({
    url: options.server,
    storage,
    transport: options.transport,
    device: { name: `parley chat on ${hostname()}`.slice(0, DEVICE_NAME_CHARACTERS_MAX) },
  });
  try {
    await client.ready;
    const account = client.account ?? (await authenticate(client, options, world));
    if (options.user !== undefined && account.username !== options.user.toLowerCase()) {
      throw new CliFailure(
        exitCodes.signIn,
        `This profile belongs to ${account.username}, not to ${options.user}.`,
        "Choose another directory with --profile.",
      );
    }
    return { client, account, lostFile: join(directory, "lost-messages.jsonl") };
  } catch (error) {
    await client.close();
    throw toFailure(error, options.server);
  }
}

async function authenticate(
  client: ParleyClient,
  options: ChatOptions,
  world: CliWorld,
): Promise<Account> {
  const { user: username, server, displayName } = options;
  if (username === undefined) {
    throw usageFailure("Nobody is signed in with this profile: --user NAME.", "chat");
  }
  // Before the password is asked for: nobody types it in for a server that is not there.
  await client.ops.getServerInfo({});
  const action = options.signUp ? "New password" : "Password";
  const prompt = `${action} for ${username} on ${server}: `;
  const password = await readPassword(options.passwordFile, prompt, world);
  if (options.signUp) await client.signUp({ username, password, displayName });
  else await client.signIn({ username, password });
  const { account } = client;
  if (account) return account;
  throw new CliFailure(exitCodes.signIn, "Signing in left nobody signed in.", "Try again.");
}

/** `parley chat`: signing in, then a terminal or a script. */
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { ParleyClient } from "@parley/sdk";
import { runInteractive } from "../chat/interactive.ts";
import { parseChatOptions } from "../chat/options.ts";
import { runScript } from "../chat/script.ts";
import { openClient } from "../chat/sign-in.ts";
import { exitCodes } from "../failure.ts";
import type { CliWorld } from "../world.ts";

export async function chat(world: CliWorld): Promise<number> {
  const { NO_COLOR } = world.env;
  const options = parseChatOptions(world.args, NO_COLOR === undefined ? {} : { NO_COLOR });
  const signedIn = await openClient(options, world);
  try {
    if (!world.stdin.isTTY) {
      return await runScript(signedIn, options, world);
    }
    const notice = await encryptionNotice(signedIn.client);
    await runInteractive(signedIn, options, { ...world, notice });
    return exitCodes.ok;
  } finally {
    await signedIn.client.close();
  }
}

/** What people have to know before they write; undefined when nobody but them reads it. */
async function encryptionNotice(client: ParleyClient): Promise<string | undefined> {
  const info = await client.ops.getServerInfo({}).catch(() => undefined);
  if (!info) return undefined;
  if (info.encryptionModes.includes(EncryptionMode.END_TO_END)) return undefined;
  return "Whoever operates this server can read what is written here; end-to-end encryption is not there yet.";
}

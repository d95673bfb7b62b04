/** A chat at a terminal. */
import type { ParleyClient } from "@parley/sdk";
import { CliFailure, toFailure } from "../failure.ts";
import type { CliWorld } from "../world.ts";
import { createStyle, type Style } from "./format.ts";
import type { ChatOptions } from "./options.ts";
import { createPeople } from "./people.ts";
import { tellReplaced } from "./replaced.ts";
import { createRoom, type Room } from "./room.ts";
import { createScreen, type Screen } from "./screen.ts";
import type { SignedIn } from "./sign-in.ts";
import { runSlashCommand } from "./slash-commands.ts";
import type { SlashContext } from "./slash-context.ts";
import { openTarget } from "./targets.ts";

const HISTORY_DEFAULT = 20;

/** Returns when the person quits. */
export async function runInteractive(
  { client, account, lostFile }: SignedIn,
  options: ChatOptions,
  world: Pick<CliWorld, "stdin" | "stdout" | "signal"> & { readonly notice: string | undefined },
): Promise<void> {
  const style = createStyle(options.color);
  const people = createPeople(client);
  const screen = createScreen({ input: world.stdin, output: world.stdout });
  const room = createRoom({ client, people, screen, style, account });
  world.signal.addEventListener("abort", () => screen.close(), { once: true });
  screen.onTyping(() => room.onTyping());
  tellConnection(client, screen, style);
  tellReplaced({ client, people, lostFile, print: (line) => screen.print(style.warn(line)) });
  try {
    screen.print(
      style.dim(`Signed in as ${account.username} at ${options.server}. /help lists the commands.`),
    );
    if (world.notice) screen.print(style.warn(world.notice));
    client.connect();
    const context = slashContext(room, { client, people, style, screen, options });
    if (options.target) await context.open(await openTarget(options.target, client, people));
    else await runSlashCommand("/list", context).catch((error) => explain(error, screen, style));
    await readLines(screen, room, context, style);
  } finally {
    room.close();
    screen.close();
    const waiting = client.outbox.list().filter((handle) => handle.state !== "failed").length;
    if (waiting > 0) screen.print(`${waiting} messages are kept and go out the next time.`);
  }
}

function slashContext(
  room: Room,
  parts: Pick<SlashContext, "client" | "people" | "style"> & {
    readonly screen: Screen;
    readonly options: ChatOptions;
  },
): SlashContext {
  const { screen, options } = parts;
  return {
    ...parts,
    conversation: () => room.conversation,
    open: (conversation) => room.open(conversation, options.history ?? HISTORY_DEFAULT),
    print: (text) => screen.print(text),
  };
}

async function readLines(
  screen: Screen,
  room: Room,
  context: SlashContext,
  style: Style,
): Promise<void> {
  for await (const line of screen.lines) {
    if (line.trim() === "") continue;
    try {
      if (line.startsWith("/") && !line.startsWith("//")) {
        const { quit } = await runSlashCommand(line, context);
        if (quit) return;
      } else {
        room.send(line.startsWith("//") ? line.slice(1) : line);
      }
    } catch (error) {
      explain(error, screen, style);
    }
  }
}

function explain(error: unknown, screen: Screen, style: Style): void {
  const failure = error instanceof CliFailure ? error : toFailure(error);
  screen.print(style.warn(`${failure.message} ${failure.remedy}`));
}

/** Tells when the connection goes and comes back; not how often it is tried. */
function tellConnection(client: ParleyClient, screen: Screen, style: Style): void {
  let told: "online" | "offline" | undefined;
  client.on("stateChanged", (state) => {
    if (state.state === "connecting" || state.state === told) return;
    if (state.state === "online") {
      if (told === "offline") screen.print(style.dim(`Connected again (${state.road}).`));
      told = "online";
      return;
    }
    if (!state.error) return;
    told = "offline";
    const next = state.retryAfterMs === undefined ? "" : " Trying again; what you write is kept.";
    screen.print(style.warn(`Not connected: ${state.error.message}${next}`));
  });
  client.on("signedOut", () => {
    screen.print(style.warn("This device was signed out. Leave with /quit and sign in again."));
  });
  client.on("send", ({ state, error }) => {
    if (state !== "failed" || !error) return;
    const failure = toFailure(error);
    screen.print(style.warn(`✗ Not sent: ${failure.message} ${failure.remedy}`));
  });
}

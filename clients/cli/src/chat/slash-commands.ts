/** Commands that begin with `/`, at a terminal and in scripts. */
import {
  type SlashCommand,
  type SlashContext,
  type SlashResult,
  slashFailure,
} from "./slash-context.ts";
import { conversationCommands } from "./slash-conversations.ts";
import { groupCommands } from "./slash-groups.ts";
import { messageCommands } from "./slash-messages.ts";

const ownCommands: Readonly<Record<string, SlashCommand>> = {
  help: {
    usage: "/help",
    summary: "show this list",
    async run(_rest, { print }) {
      const all = Object.values(slashCommands);
      const width = Math.max(...all.map((command) => command.usage.length));
      for (const { usage, summary } of all) print(`  ${usage.padEnd(width)}  ${summary}`);
      print("  Anything else is sent. To begin a message with /, write two of them.");
      return undefined;
    },
  },
  quit: {
    usage: "/quit",
    summary: "end the program; what is not sent yet goes out the next time",
    run: async () => ({ quit: true }),
  },
};

const slashCommands: Readonly<Record<string, SlashCommand>> = {
  ...ownCommands,
  ...messageCommands,
  ...conversationCommands,
  ...groupCommands,
};

/** @throws CliFailure or ParleyError when the command is unknown, incomplete or refused. */
export async function runSlashCommand(line: string, context: SlashContext): Promise<SlashResult> {
  const [, name = "", rest = ""] = /^\/(\S*)\s*([\s\S]*)$/.exec(line) ?? [];
  const command = Object.hasOwn(slashCommands, name) ? slashCommands[name] : undefined;
  if (!command) throw slashFailure(`There is no /${name}.`, "Use /help to see what there is.");
  return (await command.run(rest.trim(), context)) ?? {};
}

/** What commands that begin with `/` have in common. */
import type { Conversation, ParleyClient, SendHandle } from "@parley/sdk";
import { CliFailure, exitCodes } from "../failure.ts";
import type { Style } from "./format.ts";
import type { People } from "./people.ts";

/** What a command works with. */
export type SlashContext = {
  readonly client: ParleyClient;
  readonly people: People;
  readonly style: Style;
  /** The conversation on screen. */
  readonly conversation: () => Conversation | undefined;
  /** Puts another conversation on screen. */
  readonly open: (conversation: Conversation) => Promise<void>;
  readonly print: (text: string) => void;
};

export type SlashResult = {
  readonly quit?: boolean;
  /** What the command sends; it may not be accepted yet. */
  readonly sent?: SendHandle;
};

export type SlashCommand = {
  readonly usage: string;
  readonly summary: string;
  readonly run: (rest: string, context: SlashContext) => Promise<SlashResult | undefined>;
};

/** A command that cannot be carried out as it was typed. */
export function slashFailure(happened: string, remedy: string): CliFailure {
  return new CliFailure(exitCodes.usage, happened, remedy);
}

/** The conversation on screen. @throws CliFailure when there is none. */
export function present(context: Pick<SlashContext, "conversation">): Conversation {
  const conversation = context.conversation();
  if (conversation) return conversation;
  throw slashFailure("No conversation is open.", "Use /open NAME, or /list to see yours.");
}

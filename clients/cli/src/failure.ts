/** What goes wrong for a person at a terminal: what happened, and what to do about it. */
import { Code, ParleyError } from "@parley/sdk";

/** Exit codes; `parley --help` lists them. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  signIn: 4,
  notSent: 5,
  waitedInVain: 6,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Ends a command: one line what happened, one line what to do. */
export class CliFailure extends Error {
  override readonly name = "CliFailure";
  readonly remedy: string;
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, happened: string, remedy: string, cause?: unknown) {
    super(happened, cause === undefined ? undefined : { cause });
    this.exitCode = exitCode;
    this.remedy = remedy;
  }
}

/** A wrong command line. */
export function usageFailure(happened: string, command?: string): CliFailure {
  const help = command === undefined ? "parley --help" : `parley ${command} --help`;
  return new CliFailure(exitCodes.usage, happened, `Run \`${help}\` to see what there is.`);
}

type Explanation = readonly [happened: string, remedy: string, exitCode: ExitCode];

const explanations: Readonly<Record<string, Explanation>> = {
  BAD_CREDENTIALS: [
    "The username or the password is wrong.",
    "Try again, or create the account with --sign-up.",
    exitCodes.signIn,
  ],
  USERNAME_TAKEN: [
    "This username is taken.",
    "Choose another one with --user, or sign in to it without --sign-up.",
    exitCodes.signIn,
  ],
  SIGN_UP_CLOSED: [
    "This server takes no new accounts by itself.",
    "Ask its operator for one.",
    exitCodes.signIn,
  ],
  DEVICE_LIMIT: [
    "This account is signed in on as many devices as it may be.",
    "Sign out on one of them first.",
    exitCodes.signIn,
  ],
  SIGNED_OUT: [
    "Nobody is signed in here.",
    "Run the command again; it asks for the password.",
    exitCodes.signIn,
  ],
  RATE_LIMITED: [
    "The server asks for fewer attempts.",
    "Wait a minute and try again.",
    exitCodes.failed,
  ],
  CONVERSATION_NOT_FOUND: [
    "There is no such conversation, or you are no member of it.",
    "Use /list to see yours.",
    exitCodes.failed,
  ],
  NOT_A_MEMBER: [
    "You are no longer a member of this conversation.",
    "Ask somebody in it to add you.",
    exitCodes.notSent,
  ],
  CANNOT_SEND: [
    "This person takes no messages from you.",
    "There is nothing you can do about that here.",
    exitCodes.notSent,
  ],
  BLOCKED: [
    "You or the other person blocked the other.",
    "If it was you: /unblock first.",
    exitCodes.failed,
  ],
  ROLE_INSUFFICIENT: [
    "Only admins and the owner of the group may do this.",
    "Ask one of them; /who shows who they are.",
    exitCodes.failed,
  ],
  GROUP_FULL: ["The group is full.", "Remove somebody first.", exitCodes.failed],
  NOT_A_GROUP: ["This is no group.", "Create one with /group.", exitCodes.failed],
  INVITE_NOT_FOUND: [
    "This invite does not work (any more).",
    "Ask for a new one.",
    exitCodes.failed,
  ],
  REMOVED: ["You were removed from this group.", "Ask an admin to add you.", exitCodes.failed],
  PAYLOAD_TOO_LARGE: [
    "The message is larger than this server allows.",
    "Send it in parts.",
    exitCodes.notSent,
  ],
  TEXT_TOO_LONG: [
    "A message has at most 16,000 characters.",
    "Send it in parts.",
    exitCodes.notSent,
  ],
  OUTBOX_FULL: [
    "Too many messages wait to be sent.",
    "Wait until the server is reachable again.",
    exitCodes.notSent,
  ],
};

/** Any caught value as what happened and what to do. */
export function toFailure(error: unknown, server?: string): CliFailure {
  if (error instanceof CliFailure) return error;
  if (!(error instanceof ParleyError)) {
    const text = error instanceof Error ? error.message : String(error);
    return new CliFailure(
      exitCodes.failed,
      `Something went wrong: ${text}`,
      "Try again; if it stays so, report it with this line.",
      error,
    );
  }
  const known = explanations[error.reason];
  if (known) return new CliFailure(known[2], known[0], known[1], error);
  if (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded) {
    return unreachable(server, error);
  }
  const field = error.field ? ` (${error.field})` : "";
  return new CliFailure(
    error.code === Code.Unauthenticated ? exitCodes.signIn : exitCodes.failed,
    `The server refused: ${error.message}${field} [${error.reason}]`,
    error.code === Code.InvalidArgument
      ? "Change what is named, and try again."
      : "Try again; if it stays so, ask the server's operator.",
    error,
  );
}

/** The server does not answer. */
export function unreachable(server: string | undefined, error: ParleyError): CliFailure {
  return new CliFailure(
    exitCodes.unreachable,
    `Cannot reach ${server ?? "the server"}: ${error.message}`,
    "Start one with `parley serve`, or name another with --server.",
    error,
  );
}

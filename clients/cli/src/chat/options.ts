/** The options of `parley chat`. */
import type { RoadName } from "@parley/sdk";
import { parseOptions, wholeNumber } from "../arguments.ts";
import { usageFailure } from "../failure.ts";

export type Target =
  | { readonly kind: "person"; readonly username: string }
  | { readonly kind: "group"; readonly title: string; readonly members: readonly string[] }
  | { readonly kind: "conversation"; readonly id: string };

export type ChatOptions = {
  readonly server: string;
  readonly user: string | undefined;
  readonly signUp: boolean;
  readonly displayName: string | undefined;
  readonly passwordFile: string | undefined;
  readonly profile: string | undefined;
  readonly target: Target | undefined;
  readonly transport: "auto" | RoadName;
  readonly history: number | undefined;
  readonly color: boolean;
  readonly json: boolean;
  readonly commands: boolean;
  readonly waitMessages: number | undefined;
  readonly waitSeconds: number | undefined;
  readonly ackSeconds: number;
};

const COMMAND = "chat";
const SERVER_DEFAULT = "http://localhost:8080";
const ACK_SECONDS_DEFAULT = 30;
const SECONDS_MAX = 86_400;
const MESSAGES_MAX = 1_000_000;
const HISTORY_MAX = 200;
const TRANSPORTS = ["auto", "websocket", "connect", "long-poll", "short-poll"] as const;

/** @throws CliFailure naming the option that is wrong. */
export function parseChatOptions(args: readonly string[], env: { NO_COLOR?: string }): ChatOptions {
  const values = parseOptions(COMMAND, args, {
    server: { type: "string" },
    user: { type: "string" },
    "sign-up": { type: "boolean" },
    "display-name": { type: "string" },
    "password-file": { type: "string" },
    profile: { type: "string" },
    with: { type: "string" },
    group: { type: "string" },
    members: { type: "string" },
    conversation: { type: "string" },
    transport: { type: "string" },
    history: { type: "string" },
    "no-color": { type: "boolean" },
    json: { type: "boolean" },
    commands: { type: "boolean" },
    "wait-messages": { type: "string" },
    "wait-seconds": { type: "string" },
    "ack-seconds": { type: "string" },
  });
  const seconds = (option: "wait-seconds" | "ack-seconds") =>
    wholeNumber(COMMAND, option, values[option], SECONDS_MAX);
  return {
    server: serverAddress(values.server ?? SERVER_DEFAULT),
    user: values.user,
    signUp: values["sign-up"] ?? false,
    displayName: values["display-name"],
    passwordFile: values["password-file"],
    profile: values.profile,
    target: targetOf(values),
    transport: transportOf(values.transport ?? "auto"),
    history: wholeNumber(COMMAND, "history", values.history, HISTORY_MAX),
    color: values["no-color"] !== true && (env.NO_COLOR ?? "") === "",
    json: values.json ?? false,
    commands: values.commands ?? false,
    waitMessages: wholeNumber(COMMAND, "wait-messages", values["wait-messages"], MESSAGES_MAX),
    waitSeconds: seconds("wait-seconds"),
    ackSeconds: seconds("ack-seconds") ?? ACK_SECONDS_DEFAULT,
  };
}

function serverAddress(text: string): string {
  const withScheme = /^https?:\/\//.test(text) ? text : `http://${text}`;
  const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  if (!url || url.hostname === "") {
    throw usageFailure(`--server takes an address like ${SERVER_DEFAULT}, not "${text}".`, COMMAND);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

function transportOf(text: string): ChatOptions["transport"] {
  const found = TRANSPORTS.find((name) => name === text);
  if (!found) {
    throw usageFailure(
      `--transport takes one of ${TRANSPORTS.join(", ")}, not "${text}".`,
      COMMAND,
    );
  }
  return found;
}

function targetOf(values: {
  readonly with?: string | undefined;
  readonly group?: string | undefined;
  readonly members?: string | undefined;
  readonly conversation?: string | undefined;
}): Target | undefined {
  const given = [values.with, values.group, values.conversation].filter((v) => v !== undefined);
  if (given.length > 1) {
    throw usageFailure("Only one of --with, --group and --conversation can be given.", COMMAND);
  }
  if (values.members !== undefined && values.group === undefined) {
    throw usageFailure("--members goes with --group.", COMMAND);
  }
  if (values.with !== undefined) return { kind: "person", username: values.with };
  if (values.conversation !== undefined) return { kind: "conversation", id: values.conversation };
  if (values.group === undefined) return undefined;
  return { kind: "group", title: values.group, members: splitNames(values.members ?? "") };
}

/** Usernames separated by commas or blanks. */
export function splitNames(text: string): string[] {
  return text.split(/[\s,]+/).filter((name) => name !== "");
}

/** A chat whose standard input is no terminal: lines in, lines out, and an exit code. */
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import type { Conversation, ParleyClient, SendHandle } from "@parley/sdk";
import { CliFailure, type ExitCode, exitCodes, toFailure, usageFailure } from "../failure.ts";
import type { CliWorld } from "../world.ts";
import { changeText, createStyle, safeText, viewLine, wordsOf } from "./format.ts";
import { tellJson } from "./json-events.ts";
import type { ChatOptions } from "./options.ts";
import { createPeople, type People } from "./people.ts";
import { tellReplaced } from "./replaced.ts";
import type { SignedIn } from "./sign-in.ts";
import { runSlashCommand } from "./slash-commands.ts";
import { openTarget } from "./targets.ts";

/** Lines that may wait for the server at a time; reading more of the input waits. */
const LINES_UNDER_WAY_MAX = 200;
/** How long connecting may take before the script fails. */
const CONNECT_MS_MAX = 20_000;
/** How long `--wait-messages` waits unless told. */
const WAIT_SECONDS_DEFAULT = 60;

type Script = {
  readonly options: ChatOptions;
  readonly world: CliWorld;
  readonly client: ParleyClient;
  readonly people: People;
  conversation: Conversation | undefined;
  readonly print: (line: string) => void;
};

/** Runs to the end of the input and of the waiting; returns the exit code. */
export async function runScript(
  { client, account, lostFile }: SignedIn,
  options: ChatOptions,
  world: CliWorld,
): Promise<ExitCode> {
  const people = createPeople(client);
  const print = (line: string) => void world.stdout.write(`${line}\n`);
  const script: Script = { options, world, client, people, conversation: undefined, print };
  const arrivals = countArrivals(script, account.userId);
  if (options.json) {
    print(JSON.stringify({ event: "signedIn", userId: account.userId, user: account.username }));
    tellJson(client, people, (event) => print(JSON.stringify(event)));
  }
  const warn = (line: string) => void world.stderr.write(`parley: ${line}\n`);
  const replaced = tellReplaced({ client, people, lostFile, print: warn });
  await connect(script);
  await people.learn(arrivals.senders());
  if (options.target) {
    script.conversation = await openTarget(options.target, client, people);
    if (options.json)
      print(JSON.stringify({ event: "opened", conversationId: script.conversation.id }));
    await printHistory(script);
  }
  const handles = await sendLines(script);
  await acknowledged(script, handles);
  await arrivals.wait();
  await replaced.settled();
  return exitCodes.ok;
}

async function connect({ client, options, world }: Script): Promise<void> {
  // A server that is not there is told of at once; a session alone would go on trying.
  await client.ops.getServerInfo({}).catch((error: unknown) => {
    throw toFailure(error, options.server);
  });
  const timeout = AbortSignal.timeout(CONNECT_MS_MAX);
  const given = new Promise<never>((_resolve, reject) => {
    const signal = AbortSignal.any([timeout, world.signal]);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    await Promise.race([client.connect(), given]);
  } catch (error) {
    const { state } = client;
    const cause = (state.state === "offline" && state.error) || error;
    if (!timeout.aborted) throw toFailure(cause, options.server);
    throw new CliFailure(
      exitCodes.unreachable,
      `${options.server} did not let a session open within ${CONNECT_MS_MAX / 1000} seconds.`,
      "Check that it runs with `parley doctor --server`, or try --transport long-poll.",
      cause,
    );
  }
}

async function printHistory({ conversation, options, people, print }: Script): Promise<void> {
  if (!conversation || !options.history || options.json) return;
  const viewer = await conversation.open({ count: options.history });
  await people.learn(viewer.view.messages.map((message) => message.senderUserId));
  for (const message of viewer.view.messages)
    print(viewLine(message, people.name, createStyle(false)));
  viewer.close();
}

/** Sends each line; returns the handles of those that are not accepted yet. */
async function sendLines(script: Script): Promise<readonly SendHandle[]> {
  const { world, options } = script;
  const handles: SendHandle[] = [];
  const lines = createInterface({ input: world.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  const onAbort = () => lines.close();
  world.signal.addEventListener("abort", onAbort, { once: true });
  for await (const line of lines) {
    if (line.trim() === "") continue;
    if (options.commands && line.startsWith("/")) {
      await settle(handles);
      if ((await command(script, line)) === "quit") break;
      continue;
    }
    if (!script.conversation) {
      throw usageFailure("Say with whom: --with NAME, --group TITLE or --conversation ID.", "chat");
    }
    handles.push(script.conversation.send(line));
    const oldest = handles[handles.length - LINES_UNDER_WAY_MAX];
    if (oldest) await oldest.result.catch(() => {});
  }
  lines.close();
  world.signal.removeEventListener("abort", onAbort);
  return handles;
}

/** A command may depend on the messages before it. */
async function settle(handles: readonly SendHandle[]): Promise<void> {
  await Promise.allSettled(handles.map((handle) => handle.result));
}

async function command(script: Script, line: string): Promise<"quit" | undefined> {
  const result = await runSlashCommand(line, {
    client: script.client,
    people: script.people,
    style: createStyle(false),
    conversation: () => script.conversation,
    open: async (conversation) => {
      script.conversation = conversation;
    },
    print: (text) => {
      if (script.options.json) script.print(JSON.stringify({ event: "output", text }));
      else script.print(text);
    },
  });
  if (result.sent) await result.sent.result;
  return result.quit ? "quit" : undefined;
}

/** Waits until every message was accepted; names the first that was not. */
async function acknowledged(
  { options, world }: Script,
  handles: readonly SendHandle[],
): Promise<void> {
  const all = Promise.allSettled(handles.map((handle) => handle.result));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, options.ackSeconds * 1000);
    world.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.race([all, timeout]);
  clearTimeout(timer);
  const missing = handles.filter((handle) => handle.state !== "sent");
  const [first] = missing;
  if (!first) return;
  const refused = first.state === "failed" && first.error ? toFailure(first.error) : undefined;
  const count = `${missing.length} of ${handles.length} messages`;
  throw new CliFailure(
    exitCodes.notSent,
    refused
      ? `${count} were not accepted. ${refused.message}`
      : `${count} were not accepted within ${options.ackSeconds} seconds.`,
    refused?.remedy ?? "They are kept and go out the next time; or wait longer with --ack-seconds.",
    first.error,
  );
}

/** Prints and counts what comes from others. */
function countArrivals({ client, people, options, print, world }: Script, ownUserId: string) {
  let count = 0;
  const senders = new Set<string>();
  const early: Message[] = [];
  let learned = false;
  const changed = new EventTarget();
  const show = (entry: Message) => {
    if (options.json) return;
    const line = plainLine(entry, people);
    if (line !== undefined) print(line);
  };
  client.on("message", (entry) => {
    if (entry.senderUserId === ownUserId) return;
    if (!learned) {
      senders.add(entry.senderUserId);
      early.push(entry);
    } else {
      // Names are read before the line is printed; lines keep their order because readings do.
      printing = printing.then(() => people.learn([entry.senderUserId])).then(() => show(entry));
    }
    if (entry.body.case === "payload" && wordsOf(entry).kind === "text") count++;
    changed.dispatchEvent(new Event("count"));
  });
  let printing: Promise<void> = Promise.resolve();
  return {
    /** Who was heard of while connecting; from then on, names are read as they come. */
    senders() {
      learned = true;
      const first = [...senders];
      printing = people.learn(first).then(() => {
        for (const entry of early.splice(0)) show(entry);
      });
      return first;
    },
    async wait() {
      const { waitMessages, waitSeconds } = options;
      if (waitMessages === undefined && waitSeconds === undefined) return printing;
      const ms = (waitSeconds ?? WAIT_SECONDS_DEFAULT) * 1000;
      const signal = AbortSignal.any([AbortSignal.timeout(ms), world.signal]);
      const enough = () => waitMessages !== undefined && count >= waitMessages;
      while (!enough() && !signal.aborted) {
        await once(changed, "count", { signal }).catch(() => {});
      }
      await printing;
      if (waitMessages === undefined || enough()) return;
      throw new CliFailure(
        exitCodes.waitedInVain,
        `${count} of ${waitMessages} messages came within ${ms / 1000} seconds.`,
        "Wait longer with --wait-seconds.",
      );
    },
  };
}

/** One line per message: line breaks inside it become blanks, so that lines can be counted. */
function plainLine(entry: Message, people: People): string | undefined {
  const words = wordsOf(entry);
  const who = people.name(entry.senderUserId);
  const line = (text: string) => `${who}: ${safeText(text).replaceAll("\n", " ")}`;
  switch (words.kind) {
    case "text":
      return line(words.text);
    case "change":
      return `— ${changeText(words.change, people.name)}`;
    case "reaction":
      return words.emoji === ""
        ? undefined
        : `— ${who} reacted ${safeText(words.emoji)} to #${words.target.seq}`;
    case "edit":
      return `— ${who} edited #${words.target.seq}: ${safeText(words.text).replaceAll("\n", " ")}`;
    case "deletion":
      return `— ${who} deleted #${words.target.seq}`;
    default:
      return line("(not supported by this version)");
  }
}

/** People with the SDK in their hands, and waiting for what they are told. */

import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import type { ClientStorage } from "@parley/sdk";
import { createParleyClient, decodeContent, type ParleyClient, type RoadName } from "@parley/sdk";
import type { ClientEvents } from "@parley/sdk/events";
import { password } from "./people.ts";

const EVENT_TIMEOUT_MS = 15_000; // far above what anything takes; a failure says what it waited for

export type PersonOptions = {
  readonly transport?: RoadName;
  readonly storage?: ClientStorage;
  /** Signs in instead of up. */
  readonly existing?: boolean;
  /** Stays disconnected. */
  readonly offline?: boolean;
};

/** Signs a person up (or in) and connects them. */
export async function openPerson(
  server: { readonly url: string },
  username: string,
  options: PersonOptions = {},
): Promise<ParleyClient> {
  const client = createParleyClient({
    url: server.url,
    transport: options.transport ?? "websocket",
    storage: options.storage,
    timing: quickTiming,
    catchUpMessagesMax: 1_000, // nothing is left out of what a scenario misses
  });
  if (options.existing) await client.signIn({ username, password });
  else await client.signUp({ username, password });
  if (!options.offline) await client.connect();
  return client;
}

/** Reconnects sooner than a person's client would, so that scenarios are short. */
export const quickTiming = {
  reconnectInitialMs: 20,
  reconnectMaxMs: 500,
  receiptIntervalMs: 50,
  shortPollIntervalMs: 50,
} as const;

/** Resolves with the next event that matches; rejects after a while, saying what it waited for. */
export function nextEvent<K extends keyof ClientEvents>(
  client: ParleyClient,
  kind: K,
  matches: (event: ClientEvents[K]) => boolean = () => true,
  timeoutMs = EVENT_TIMEOUT_MS,
): Promise<ClientEvents[K]> {
  return new Promise((resolve, reject) => {
    const waited = new Error(`${client.account?.username ?? "nobody"} was not told of ${kind}`);
    const timer = setTimeout(() => {
      off();
      reject(waited);
    }, timeoutMs);
    const off = client.on(kind, (event) => {
      if (!matches(event)) return;
      clearTimeout(timer);
      off();
      resolve(event);
    });
  });
}

/** The words of an entry; undefined for changes and other content. */
export function textOf(entry: Message): string | undefined {
  if (entry.body.case !== "payload") return undefined;
  const content = decodeContent(entry.body.value);
  return content?.kind.case === "text" ? content.kind.value.text : undefined;
}

/** The words of entries, in their order; changes have none. */
export function textsOf(entries: readonly Message[]): string[] {
  return entries.flatMap((entry) => textOf(entry) ?? []);
}

/** Resolves when this text arrives. */
export function nextText(client: ParleyClient, text: string): Promise<Message> {
  return nextEvent(client, "message", (entry) => textOf(entry) === text);
}

/** Everything a client is told of one conversation from now on, in the order of telling. */
export function record(client: ParleyClient, conversationId: string): Message[] {
  const entries: Message[] = [];
  client.on("message", (entry) => {
    if (entry.conversationId === conversationId) entries.push(entry);
  });
  return entries;
}

/** Polls a condition that no event announces. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const endMs = Date.now() + EVENT_TIMEOUT_MS;
  while (!(await holds())) {
    if (Date.now() > endMs) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

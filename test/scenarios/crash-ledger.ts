/** Who sent what, what was acknowledged, and what every reader was told: the books of the crash tests. */
import assert from "node:assert/strict";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import type { ParleyClient, SendHandle } from "@parley/sdk";
import { nextEvent, textOf } from "../harness/clients.ts";

type Acked = { readonly seq: bigint; readonly messageId: bigint };

export type Ledger = {
  /** Messages acknowledged so far. */
  readonly acked: number;
  /** Keeps `window` messages of a sender on their way until `stop`. */
  write(client: ParleyClient, conversationId: string, label: string, window: number): void;
  /** Writes down everything that a reader is told of a conversation. */
  read(client: ParleyClient, conversationId: string): void;
  /** Starts no new message. */
  stop(): void;
  /** Resolves when so many more messages were acknowledged. */
  more(count: number): Promise<void>;
  /** Resolves when so many more were acknowledged in every conversation. */
  moreEverywhere(count: number): Promise<void>;
  /**
   * Compares the books of one conversation with its whole history: every acknowledged message is there once, at the
   * place it was acknowledged at; `seq` is dense; every reader was told the same, in the same order, each entry once.
   */
  verify(conversationId: string, history: readonly Message[]): void;
};

export function createLedger(): Ledger {
  const acks = new Map<string, Map<string, Acked>>(); // conversation → text → place
  const told = new Map<string, Message[][]>(); // conversation → one list per reader
  let acked = 0;
  let running = true;
  let waiters: { readonly at: number; resolve(): void }[] = [];

  const onAck = (conversationId: string, text: string, place: Acked) => {
    const ofConversation = acks.get(conversationId) ?? new Map<string, Acked>();
    acks.set(conversationId, ofConversation);
    ofConversation.set(text, place);
    acked += 1;
    for (const waiter of waiters) if (acked >= waiter.at) waiter.resolve();
    waiters = waiters.filter((waiter) => acked < waiter.at);
  };

  return {
    get acked() {
      return acked;
    },
    write(client, conversationId, label, window) {
      const conversation = client.conversation(conversationId);
      let count = 0;
      const lane = async () => {
        while (running) {
          count += 1;
          const text = `${label} ${count}`;
          const handle: SendHandle = conversation.send(text);
          const { seq, messageId } = await handle.result;
          onAck(conversationId, text, { seq, messageId });
        }
      };
      for (let at = 0; at < window; at += 1) {
        lane().catch((error: unknown) => assert.fail(`${label}: ${String(error)}`));
      }
    },
    read(client, conversationId) {
      const entries: Message[] = [];
      told.set(conversationId, [...(told.get(conversationId) ?? []), entries]);
      client.on("message", (entry) => {
        if (entry.conversationId === conversationId) entries.push(entry);
      });
    },
    stop: () => {
      running = false;
    },
    more: (count) =>
      new Promise((resolve) => {
        waiters.push({ at: acked + count, resolve });
      }),
    async moreEverywhere(count) {
      const targets = [...acks.values()].map((of) => ({ of, at: of.size + count }));
      while (targets.some(({ of, at }) => of.size < at)) await this.more(1);
    },
    verify(conversationId, history) {
      const places = new Map<string, Message>();
      history.forEach((entry, index) => {
        assert.equal(entry.seq, BigInt(index + 1), "seq is dense");
        const text = textOf(entry);
        if (text === undefined) return;
        assert.ok(!places.has(text), `${text} is there twice`);
        places.set(text, entry);
      });
      for (const [text, place] of acks.get(conversationId) ?? []) {
        const entry = places.get(text);
        const there = history[Number(place.seq) - 1];
        const instead = there ? line(there) : `nothing; the last is ${history.at(-1)?.seq}`;
        assert.ok(
          entry,
          `${text} was acknowledged at ${place.seq} and is lost; there is ${instead}`,
        );
        assert.deepEqual([entry.seq, entry.messageId], [place.seq, place.messageId], text);
      }
      for (const entries of told.get(conversationId) ?? []) {
        const first = entries[0]?.seq ?? 1n;
        const expected = history.filter((entry) => entry.seq >= first).map(line);
        const told = entries.map(line);
        const at = told.findIndex((entry, index) => entry !== expected[index]);
        const differs = `a reader was told "${told[at]}" where history has "${expected[at]}"`;
        assert.ok(at < 0, differs);
        assert.equal(told.length, expected.length, "a reader was not told everything");
      }
    },
  };
}

function line(entry: Message): string {
  return `${entry.seq} ${entry.messageId} ${entry.senderUserId} ${textOf(entry) ?? entry.body.case}`;
}

/** Resolves when a client is online, now or soon. */
export async function online(client: ParleyClient): Promise<void> {
  if (client.state.state !== "online")
    await nextEvent(client, "stateChanged", (state) => state.state === "online");
}

/** Reads a whole conversation, oldest first. */
export async function readAll(client: ParleyClient, conversationId: string): Promise<Message[]> {
  const entries: Message[] = [];
  for (;;) {
    const fromSeq = entries.at(-1)?.seq ?? 0n;
    const page = await client.messages.listMessages({
      conversationId,
      fromSeq,
      direction: 2,
      pageSize: 200,
    });
    entries.push(...page.messages);
    if (!page.more) return entries;
  }
}

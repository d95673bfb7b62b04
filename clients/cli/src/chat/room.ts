/** The conversation on screen, and what is heard of the others. */
import { ConversationKind, type Member } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Message, Receipt } from "@parley/gen/parley/message/v1/message_pb";
import { type Presence, PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import type {
  Account,
  Conversation,
  ParleyClient,
  ReplacedConversation,
  TypingEvent,
} from "@parley/sdk";
import { entryLine } from "./entry-line.ts";
import { excerpt, type Style, viewLine, wordsOf } from "./format.ts";
import type { People } from "./people.ts";
import { createReceiptLines } from "./receipt-lines.ts";
import type { Screen } from "./screen.ts";
import { present } from "./slash-context.ts";
import { titleOf } from "./slash-conversations.ts";

/** People whose presence is watched at a time; the contract takes no more. */
const WATCHED_MAX = 500;

export type Room = {
  readonly conversation: Conversation | undefined;
  /** Puts a conversation on screen, with its newest messages. */
  open(conversation: Conversation, historyCount: number): Promise<void>;
  /** Sends a line to the conversation on screen. @throws CliFailure when there is none. */
  send(text: string): void;
  onTyping(): void;
  close(): void;
};

export type RoomDependencies = {
  readonly client: ParleyClient;
  readonly people: People;
  readonly screen: Screen;
  readonly style: Style;
  readonly account: Account;
};

export function createRoom(dependencies: RoomDependencies): Room {
  return new TerminalRoom(dependencies);
}

class TerminalRoom implements Room {
  readonly #dependencies: RoomDependencies;
  readonly #offs: readonly (() => void)[];
  readonly #unread = new Map<string, number>();
  readonly #online = new Set<string>();
  readonly #typing = new Set<string>();
  readonly #receipts;
  /** Lines are printed one after the other, though some wait for a name. */
  #printing: Promise<void> = Promise.resolve();
  #conversation: Conversation | undefined;
  #title = "";
  #direct = false;
  #peers: readonly string[] = [];
  /** Entries up to here are on screen; undefined while history is being read. */
  #shownSeq: bigint | undefined;
  #early: Message[] = [];

  constructor(dependencies: RoomDependencies) {
    this.#dependencies = dependencies;
    const { client, people, screen, style } = dependencies;
    this.#receipts = createReceiptLines((text) => screen.print(style.dim(text)), people.name);
    this.#offs = [
      client.on("message", (entry) => this.#onMessage(entry)),
      client.on("conversationReplaced", (event) => this.#onReplaced(event)),
      client.on("receipt", (receipt) => this.#onReceipt(receipt)),
      client.on("typing", (event) => this.#onTypingEvent(event)),
      client.on("presence", (presence) => this.#onPresence(presence)),
    ];
  }

  get conversation(): Conversation | undefined {
    return this.#conversation;
  }

  async open(conversation: Conversation, historyCount: number): Promise<void> {
    const { client, people, screen, style } = this.#dependencies;
    this.#conversation = conversation;
    this.#shownSeq = undefined;
    this.#early = [];
    this.#typing.clear();
    this.#online.clear();
    this.#receipts.clear();
    const conversationId = conversation.id;
    const [description, members, viewer] = await Promise.all([
      client.conversations.getConversation({ conversationId }),
      conversation.members(),
      conversation.open({ count: Math.max(1, historyCount) }),
    ]);
    viewer.close();
    const { messages } = viewer.view;
    this.#setPeers(members);
    await people.learn([...this.#peers, ...messages.map((message) => message.senderUserId)]);
    if (description.conversation) {
      this.#title = titleOf(description.conversation, people.name);
      this.#direct = description.conversation.kind === ConversationKind.DIRECT;
    }
    screen.print(style.bold(`— ${this.#title} —`));
    for (const message of historyCount === 0 ? [] : messages) {
      screen.print(viewLine(message, people.name, style));
    }
    this.#unread.delete(conversationId);
    const last = messages.at(-1)?.seq ?? 0n;
    this.#shownSeq = conversation.position > last ? conversation.position : last;
    for (const entry of this.#early.splice(0)) this.#show(entry);
    conversation.markRead();
    this.#drawPrompt();
    await this.#watch(conversation);
  }

  #setPeers(members: readonly Member[]): void {
    const ownId = this.#dependencies.account.userId;
    this.#peers = members.map((member) => member.userId).filter((id) => id !== ownId);
    for (const id of this.#online) if (!this.#peers.includes(id)) this.#online.delete(id);
  }

  /** People without a session are watched as soon as there is one. */
  async #watch(conversation: Conversation): Promise<void> {
    const watched = this.#peers.slice(0, WATCHED_MAX);
    const group = this.#direct ? undefined : conversation.id;
    await this.#dependencies.client.watchPresence(watched, group).catch(() => {});
  }

  /** The conversation changed: others may be in it now. */
  async #refreshPeers(conversation: Conversation): Promise<void> {
    const members = await conversation.members();
    if (this.#conversation !== conversation) return;
    this.#setPeers(members);
    await this.#watch(conversation);
    this.#drawPrompt();
  }

  send(text: string): void {
    const conversation = present({ conversation: () => this.#conversation });
    conversation.send(text);
    conversation.setTyping(false);
    const { client, screen, style } = this.#dependencies;
    if (client.state.state !== "online")
      screen.print(style.dim(`… ${excerpt(text)} (waits for the connection)`));
  }

  onTyping(): void {
    this.#conversation?.setTyping(true);
  }

  close(): void {
    for (const off of this.#offs) off();
  }

  #onMessage(entry: Message): void {
    if (entry.conversationId !== this.#conversation?.id) this.#onElsewhere(entry);
    else if (this.#shownSeq === undefined) this.#early.push(entry);
    else this.#show(entry);
  }

  #show(entry: Message): void {
    if (this.#shownSeq !== undefined && entry.seq <= this.#shownSeq) return;
    this.#shownSeq = entry.seq;
    const conversation = this.#conversation;
    if (!conversation) return;
    const { people, screen, style, account } = this.#dependencies;
    const own = entry.senderUserId === account.userId;
    if (own && wordsOf(entry).kind === "text") this.#receipts.onOwnMessage(entry.seq);
    this.#print(async () => {
      await people.learn([entry.senderUserId]);
      screen.print(await entryLine(entry, { conversation, name: people.name, style, own }));
      if (this.#conversation !== conversation) return;
      conversation.markRead(entry.seq);
      if (entry.body.case === "change") await this.#refreshPeers(conversation);
    });
  }

  #onElsewhere(entry: Message): void {
    const words = wordsOf(entry);
    const { client, people, screen, style, account } = this.#dependencies;
    if (words.kind !== "text" || entry.senderUserId === account.userId) return;
    const { conversationId } = entry;
    const count = (this.#unread.get(conversationId) ?? 0) + 1;
    this.#unread.set(conversationId, count);
    // What was missed while away is many messages at once: /list tells of it.
    if (client.state.state !== "online" || count > 1) return;
    this.#print(async () => {
      await people.learn([entry.senderUserId]);
      const { conversation } = await client.conversations.getConversation({ conversationId });
      const title = conversation ? titleOf(conversation, people.name) : conversationId;
      const open = conversation?.kind === ConversationKind.DIRECT ? title : conversationId;
      // A direct conversation is titled with the other person's name: it is said once.
      const who = people.name(entry.senderUserId);
      const from = open === title && title === who ? who : `${title}: ${who}`;
      screen.print(style.warn(`✉ ${from}: ${excerpt(words.text)}`) + style.dim(`  /open ${open}`));
    });
  }

  #print(work: () => Promise<void>): void {
    this.#printing = this.#printing.then(work).catch(() => {});
  }

  /** Other entries come in the places above: they are new to whoever looks at the screen. */
  #onReplaced({ conversationId, keptSeq }: ReplacedConversation): void {
    this.#unread.delete(conversationId);
    if (conversationId !== this.#conversation?.id) return;
    this.#early = this.#early.filter((entry) => entry.seq <= keptSeq);
    if (this.#shownSeq !== undefined && this.#shownSeq > keptSeq) this.#shownSeq = keptSeq;
    this.#receipts.clear();
  }

  #onReceipt(receipt: Receipt): void {
    if (receipt.conversationId !== this.#conversation?.id) return;
    if (receipt.userId === this.#dependencies.account.userId) return;
    this.#print(async () => {
      await this.#dependencies.people.learn([receipt.userId]);
      this.#receipts.onReceipt(receipt);
    });
  }

  #onTypingEvent({ conversationId, userId, typing }: TypingEvent): void {
    if (conversationId !== this.#conversation?.id) return;
    if (typing) this.#typing.add(userId);
    else this.#typing.delete(userId);
    this.#drawPrompt();
  }

  #onPresence({ userId, status }: Presence): void {
    const online = status === PresenceStatus.ONLINE;
    if (!this.#peers.includes(userId) || online === this.#online.has(userId)) return;
    if (online) this.#online.add(userId);
    else this.#online.delete(userId);
    const { screen, style, people } = this.#dependencies;
    screen.print(
      style.dim(`${online ? "●" : "○"} ${people.name(userId)} is ${online ? "online" : "offline"}`),
    );
    this.#drawPrompt();
  }

  #drawPrompt(): void {
    const { screen, style, people } = this.#dependencies;
    const count = this.#online.size;
    const presence = this.#direct ? (count > 0 ? "●" : "○") : `(${count} online)`;
    const names = [...this.#typing].map(people.name);
    const typing = names.length === 0 ? "" : style.dim(` ${names.join(", ")} typing…`);
    screen.setPrompt(`${style.bold(this.#title)} ${style.dim(presence)}${typing} > `);
  }
}

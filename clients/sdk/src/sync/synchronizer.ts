/** Puts entries of all conversations in order, reads what is missing, and keeps what was shown. */
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import type { ParleyError } from "../errors.ts";
import type { KnownPosition } from "../session/positions.ts";
import type { SeqRange, StoredTimeline } from "../storage/client-storage.ts";
import { createGapRepairs } from "./gap-repairs.ts";
import { removeRange } from "./ranges.ts";
import { type ListMessages, type Replacement, readReplacement } from "./replacement.ts";
import { createReplacements, type Held } from "./replacements.ts";
import { toStored } from "./stored-entries.ts";
import {
  createTimeline,
  fillGap,
  forget,
  gapOf,
  noteSeen,
  noteSkipped,
  offer,
  rewind,
  type Timeline,
  takeReady,
  WAITING_ENTRIES_MAX,
} from "./timeline.ts";
import type { TimelineStore } from "./timeline-store.ts";

export type SynchronizerDependencies = {
  readonly store: TimelineStore;
  readonly listMessages: ListMessages;
  /** The entries of a conversation that the storage keeps, oldest first. */
  readonly readStored: (conversationId: string) => Promise<readonly Message[]>;
  readonly gapGraceMs: number;
  /** Entries in their conversation's order, each once. */
  readonly onEntry: (entry: Message) => void;
  /** A conversation's position moved. */
  readonly onPosition: (conversationId: string, position: bigint) => void;
  /** The server's history of a conversation is another from here on; its entries follow. */
  readonly onReplaced: (event: ReplacedConversation) => void;
  /** A gap could not be read; a new session decides what is missing. */
  readonly onHopeless: (error: ParleyError) => void;
};

/** A conversation that the server has otherwise than this device had it. */
export type ReplacedConversation = {
  readonly conversationId: string;
  /** Entries up to here stay as they were; everything above is to be forgotten. */
  readonly keptSeq: bigint;
  /** Entries above `keptSeq` that only this device still has, as far as it kept them; oldest first. */
  readonly entries: readonly Message[];
};

type Conversation = {
  readonly id: string;
  readonly timeline: Timeline<Message>;
  /** The entry at the position; undefined where it was not shown in this run. */
  newest: Message | undefined;
  /** Own messages that were accepted and come next after entries that are still on their way. */
  readonly own: Map<bigint, MakeEntry>;
};

/** Completes an own message's entry from the entry before it. */
export type MakeEntry = (previous: Pick<Message, "unreadOrdinal" | "membershipVersion">) => Message;

/** Orders what sessions bring. */
export class Synchronizer {
  readonly #dependencies: SynchronizerDependencies;
  readonly #conversations = new Map<string, Conversation>();
  readonly #controller = new AbortController();
  readonly #repairs;
  readonly #replacements;
  #catchingUp = false;

  constructor(dependencies: SynchronizerDependencies) {
    this.#dependencies = dependencies;
    const { listMessages, readStored, onHopeless } = dependencies;
    this.#replacements = createReplacements({
      read: async (id, signal) =>
        readReplacement(id, await readStored(id), { listMessages, signal }),
      onRead: (id, replacement, held) => this.#onReplacement(this.#get(id), replacement, held),
      onHopeless,
    });
    this.#repairs = createGapRepairs<Conversation>({
      listMessages,
      isPaused: (id) => this.#catchingUp || this.#replacements.has(id),
      onRead: (conversation) => this.#advance(conversation),
      onHopeless,
      signal: this.#controller.signal,
    });
  }

  /** Takes over stored positions. */
  restore(timelines: readonly StoredTimeline[]): void {
    for (const { conversationId, position, holes, messageId } of timelines) {
      this.#add(conversationId, createTimeline(position, holes, messageId));
    }
  }

  /** For each conversation that the device has something of, how far. */
  positions(): KnownPosition[] {
    return [...this.#conversations.values()]
      .filter(({ timeline }) => timeline.position > 0n)
      .map(({ id, timeline: { position, messageId } }) => ({
        conversationId: id,
        seq: position,
        messageId,
      }));
  }

  position(conversationId: string): bigint {
    return this.#conversations.get(conversationId)?.timeline.position ?? 0n;
  }

  holes(conversationId: string): readonly SeqRange[] {
    return this.#conversations.get(conversationId)?.timeline.holes ?? [];
  }

  /** A session is wanted: until `caughtUp`, a gap may be something that catch-up brings or leaves out. */
  beginCatchUp(): void {
    this.#catchingUp = true;
    this.#replacements.cancel();
  }

  /** No session is wanted any more: nobody else brings what is missing. */
  endCatchUp(): void {
    this.#catchingUp = false;
  }

  /**
   * The server's history of these conversations is another than this device's. Goes back to where both agree
   * and reads the newest page. Resolves with false when a new session has to decide anew.
   */
  replace(conversationIds: readonly string[]): Promise<boolean> {
    for (const id of conversationIds) {
      const { timeline, own } = this.#get(id);
      forget(timeline);
      own.clear();
    }
    return this.#replacements.begin(conversationIds);
  }

  /** History ended. What is still missing now is read. */
  caughtUp(skipped: readonly (SeqRange & { readonly conversationId: string })[]): void {
    this.#catchingUp = false;
    for (const range of skipped) noteSkipped(this.#get(range.conversationId).timeline, range);
    for (const conversation of this.#conversations.values()) this.#advance(conversation, 0);
  }

  /** A session brought an entry. */
  offer(entry: Message): void {
    if (this.#replacements.hold(entry)) return;
    const conversation = this.#get(entry.conversationId);
    if (offer(conversation.timeline, entry)) this.#advance(conversation);
  }

  /**
   * An own message was accepted; its session gets no event of it. `make` completes the entry from what came
   * before; where that is not known, the entry is read like a gap.
   */
  offerOwn(conversationId: string, seq: bigint, make: MakeEntry): void {
    if (this.#replacements.holdSeen(conversationId, seq)) return;
    const conversation = this.#get(conversationId);
    const { timeline, own } = conversation;
    if (seq <= timeline.position || timeline.waiting.has(seq)) return;
    if (own.size < WAITING_ENTRIES_MAX) own.set(seq, make);
    noteSeen(timeline, seq);
    // Nothing else is on its way when the entry is next in line.
    const next = seq === timeline.position + 1n;
    this.#advance(conversation, next ? 0 : this.#dependencies.gapGraceMs);
  }

  /** Entries that were read as history; they fill holes. */
  noteRead(conversationId: string, range: SeqRange, entries: readonly Message[]): void {
    const { timeline } = this.#get(conversationId);
    timeline.holes = removeRange(timeline.holes, range);
    // Entries above the position take their place when their turn comes.
    const shown = entries.filter((entry) => entry.seq <= timeline.position);
    this.#dependencies.store.put(conversationId, timeline, shown.map(toStored));
  }

  /** Ends what is under way. */
  close(): void {
    this.#controller.abort();
    this.#replacements.cancel();
  }

  #get(conversationId: string): Conversation {
    return this.#conversations.get(conversationId) ?? this.#add(conversationId, createTimeline());
  }

  #add(id: string, timeline: Timeline<Message>): Conversation {
    const conversation: Conversation = {
      id,
      timeline,
      newest: undefined,
      own: new Map(),
    };
    this.#conversations.set(id, conversation);
    return conversation;
  }

  #advance(conversation: Conversation, graceMs = this.#dependencies.gapGraceMs): void {
    const { timeline } = conversation;
    do {
      this.#show(conversation);
    } while (this.#offerNextOwn(conversation));
    if (!this.#catchingUp && gapOf(timeline)) this.#repairs.start(conversation, graceMs);
  }

  #show(conversation: Conversation): void {
    const { timeline, id, own } = conversation;
    const before = timeline.position;
    const ready = takeReady(timeline);
    if (timeline.position === before) return;
    const newest = ready.at(-1);
    conversation.newest = newest?.seq === timeline.position ? newest : undefined;
    for (const seq of own.keys()) if (seq <= timeline.position) own.delete(seq);
    this.#dependencies.store.put(id, timeline, ready.map(toStored));
    for (const entry of ready) this.#dependencies.onEntry(entry);
    this.#dependencies.onPosition(id, timeline.position);
  }

  #offerNextOwn({ timeline, newest, own }: Conversation): boolean {
    // Until then the server's history may turn out to be another, and the entry before it as well.
    if (this.#catchingUp) return false;
    const next = timeline.position + 1n;
    const make = own.get(next);
    if (!make || newest?.seq !== timeline.position) return false;
    own.delete(next);
    return offer(timeline, make(newest));
  }

  #onReplacement(conversation: Conversation, replacement: Replacement, held: Held): void {
    const { timeline, id } = conversation;
    const { kept, lost, newest, skipped } = replacement;
    const keptSeq = kept?.seq ?? 0n;
    const replaced = keptSeq < timeline.position || lost.length > 0;
    rewind(timeline, { seq: keptSeq, messageId: kept?.messageId ?? 0n });
    conversation.newest = kept;
    this.#dependencies.store.rewind(id, timeline);
    if (replaced) {
      const event = { conversationId: id, keptSeq, entries: lost };
      this.#dependencies.onReplaced(event);
    }
    if (skipped) noteSkipped(timeline, skipped);
    fillGap(timeline, newest);
    for (const entry of held.entries) offer(timeline, entry);
    noteSeen(timeline, held.seen);
    this.#advance(conversation, 0);
  }
}

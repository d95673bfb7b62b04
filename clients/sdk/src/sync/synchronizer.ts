/** Puts entries of all conversations in order, reads what is missing, and keeps what was shown. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type Message, MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import {
  type ListMessagesResponse,
  ReadDirection,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { sleep } from "../async/sleep.ts";
import { clientError, isTransient, type ParleyError, toParleyError } from "../errors.ts";
import type { SeqRange, StoredTimeline } from "../storage/client-storage.ts";
import { removeRange } from "./ranges.ts";
import {
  createTimeline,
  fillGap,
  forget,
  gapOf,
  noteSeen,
  noteSkipped,
  offer,
  type Timeline,
  takeReady,
  WAITING_ENTRIES_MAX,
} from "./timeline.ts";
import type { TimelineStore } from "./timeline-store.ts";

/** Gaps that are read at a time: after a long absence a client must not storm the server. */
const REPAIRS_MAX = 4;
/** Attempts per gap before the whole session is opened again. */
const REPAIR_ATTEMPTS_MAX = 5;
/** Pause after a failed attempt, times its number, in ms. */
const REPAIR_PAUSE_MS = 300;
/** What the contract returns in one page. */
const PAGE_ENTRIES_MAX = 200;

export type SynchronizerDependencies = {
  readonly store: TimelineStore;
  readonly listMessages: (
    request: {
      readonly conversationId: string;
      readonly fromSeq: bigint;
      readonly direction: ReadDirection;
      readonly pageSize: number;
    },
    signal: AbortSignal,
  ) => Promise<ListMessagesResponse>;
  readonly gapGraceMs: number;
  /** Entries in their conversation's order, each once. */
  readonly onEntry: (entry: Message) => void;
  /** A conversation's position moved. */
  readonly onPosition: (conversationId: string, position: bigint) => void;
  /** A gap could not be read; a new session decides what is missing. */
  readonly onHopeless: (error: ParleyError) => void;
};

type Conversation = {
  readonly id: string;
  readonly timeline: Timeline<Message>;
  /** The entry at the position; undefined where it was not shown in this run. */
  newest: Message | undefined;
  /** Own messages that were accepted and come next after entries that are still on their way. */
  readonly own: Map<bigint, MakeEntry>;
  repairing: boolean;
};

/** Completes an own message's entry from the entry before it. */
export type MakeEntry = (previous: Pick<Message, "unreadOrdinal" | "membershipVersion">) => Message;

/** Orders what sessions bring. */
export class Synchronizer {
  readonly #dependencies: SynchronizerDependencies;
  readonly #conversations = new Map<string, Conversation>();
  readonly #controller = new AbortController();
  readonly #repairs: Conversation[] = [];
  #repairing = 0;
  #catchingUp = false;

  constructor(dependencies: SynchronizerDependencies) {
    this.#dependencies = dependencies;
  }

  /** Takes over stored positions. */
  restore(timelines: readonly StoredTimeline[]): void {
    for (const { conversationId, position, holes } of timelines) {
      this.#add(conversationId, createTimeline(position, holes));
    }
  }

  /** For each conversation that the device has something of, how far. */
  positions(): { readonly conversationId: string; readonly seq: bigint }[] {
    return [...this.#conversations.values()]
      .filter(({ timeline }) => timeline.position > 0n)
      .map(({ id, timeline }) => ({ conversationId: id, seq: timeline.position }));
  }

  position(conversationId: string): bigint {
    return this.#conversations.get(conversationId)?.timeline.position ?? 0n;
  }

  holes(conversationId: string): readonly SeqRange[] {
    return this.#conversations.get(conversationId)?.timeline.holes ?? [];
  }

  /** A session opened: until `caughtUp`, a gap may be something that catch-up leaves out. */
  beginCatchUp(): void {
    this.#catchingUp = true;
  }

  /** History ended. What is still missing now is read. */
  caughtUp(skipped: readonly (SeqRange & { readonly conversationId: string })[]): void {
    this.#catchingUp = false;
    for (const range of skipped) noteSkipped(this.#get(range.conversationId).timeline, range);
    for (const conversation of this.#conversations.values()) this.#advance(conversation, 0);
  }

  /** A session brought an entry. */
  offer(entry: Message): void {
    const conversation = this.#get(entry.conversationId);
    if (offer(conversation.timeline, entry)) this.#advance(conversation);
  }

  /**
   * An own message was accepted; its session gets no event of it. `make` completes the entry from what came
   * before; where that is not known, the entry is read like a gap.
   */
  offerOwn(conversationId: string, seq: bigint, make: MakeEntry): void {
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
      repairing: false,
    };
    this.#conversations.set(id, conversation);
    return conversation;
  }

  #advance(conversation: Conversation, graceMs = this.#dependencies.gapGraceMs): void {
    const { timeline } = conversation;
    do {
      this.#show(conversation);
    } while (this.#offerNextOwn(conversation));
    if (!this.#catchingUp && gapOf(timeline) && !conversation.repairing) {
      conversation.repairing = true;
      void this.#repairLater(conversation, graceMs);
    }
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
    const next = timeline.position + 1n;
    const make = own.get(next);
    if (!make || newest?.seq !== timeline.position) return false;
    own.delete(next);
    return offer(timeline, make(newest));
  }

  async #repairLater(conversation: Conversation, graceMs: number): Promise<void> {
    const { signal } = this.#controller;
    if (graceMs > 0) await sleep(graceMs, signal).catch(() => {});
    if (signal.aborted) return;
    this.#repairs.push(conversation);
    this.#startRepairs();
  }

  #startRepairs(): void {
    while (this.#repairing < REPAIRS_MAX) {
      const conversation = this.#repairs.shift();
      if (!conversation) return;
      this.#repairing++;
      void this.#repair(conversation).then((error) => {
        this.#repairing--;
        conversation.repairing = false;
        this.#startRepairs();
        if (this.#controller.signal.aborted) return;
        if (error) this.#dependencies.onHopeless(error);
        else this.#advance(conversation);
      });
    }
  }

  /**
   * Reads until nothing is missing, or until a new session catches up and takes over. Returns an error when
   * the gap stays.
   */
  async #repair(conversation: Conversation): Promise<ParleyError | undefined> {
    const { timeline } = conversation;
    const { signal } = this.#controller;
    for (let failures = 0; ; ) {
      const gap = this.#catchingUp ? undefined : gapOf(timeline);
      if (!gap || signal.aborted) return undefined;
      const before = timeline.position;
      const error = await this.#readGap(conversation, gap.last - before);
      if (error?.code === Code.NotFound || error?.code === Code.PermissionDenied) {
        // Nothing of this conversation is readable any more; what waits will never be shown.
        forget(timeline);
        return undefined;
      }
      if (error && !isTransient(error)) return error;
      if (timeline.position > before) {
        failures = 0;
        continue;
      }
      if (++failures >= REPAIR_ATTEMPTS_MAX) {
        const text = `Entry ${gap.first} of conversation ${conversation.id} could not be read.`;
        return error ?? clientError(Code.DataLoss, "PROTOCOL", text);
      }
      await sleep(REPAIR_PAUSE_MS * failures, signal).catch(() => {});
    }
  }

  async #readGap(conversation: Conversation, missing: bigint): Promise<ParleyError | undefined> {
    const { timeline, id } = conversation;
    const pageSize = missing < PAGE_ENTRIES_MAX ? Number(missing) : PAGE_ENTRIES_MAX;
    try {
      const page = await this.#dependencies.listMessages(
        {
          conversationId: id,
          fromSeq: timeline.position,
          direction: ReadDirection.NEWER,
          pageSize,
        },
        this.#controller.signal,
      );
      // Live entries may have come meanwhile; what is known already is dropped again.
      fillGap(timeline, page.messages);
      this.#advance(conversation);
      return undefined;
    } catch (error) {
      return toParleyError(error);
    }
  }
}

function toStored(message: Message): { readonly seq: bigint; readonly bytes: Uint8Array } {
  return { seq: message.seq, bytes: toBinary(MessageSchema, message) };
}

/** An entry as it was stored. */
export function fromStored(bytes: Uint8Array): Message {
  return fromBinary(MessageSchema, bytes);
}

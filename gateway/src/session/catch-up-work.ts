/**
 * What a session still has to be sent, and the merge of it: conversations are read in pages, side by side, and
 * their entries handed out by `message_id`. Holds no more than what one round of reading brings.
 */
import type {
  TimelineEntry,
  TimelineSlice,
} from "@parley/gen/parley/internal/message/v1/timeline_service_pb";

/** Conversations that are merged at a time: what one `ReadRanges` may ask for. Others wait for their turn. */
const CONVERSATIONS_AT_ONCE_MAX = 100;
/** Entries of one `ReadRanges`, as the contract says. */
export const ENTRIES_PER_READ_MAX = 1000;
/** Entries of one conversation in a read: few enough that others get their share of the answer's 1 MiB. */
const ENTRIES_PER_RANGE_MAX = 500;
const ENTRIES_PER_RANGE_MIN = 10;

/** Conversations whose newest entry is not known are admitted last. */
const NEWEST = 2n ** 63n;

export type RangeToRead = {
  readonly conversationId: string;
  readonly afterSeq: bigint;
  readonly lastSeq: bigint;
};

export type MissedEntry = {
  readonly conversationId: string;
  readonly seq: number;
  readonly event: Uint8Array;
};

type Reading = {
  readonly conversationId: string;
  /** Where the conversation's activity ended, for the order of admission. */
  readonly lastMessageId: bigint;
  /** Read up to here. */
  readSeq: number;
  targetSeq: number;
  /** Read and not yet handed out: from `at` on. */
  buffer: TimelineEntry[];
  at: number;
};

export class CatchUpWork {
  /** The inbox has to be read (again). */
  headsWanted: boolean;
  readonly #readings = new Map<string, Reading>();
  #active: Reading[] = [];
  #waiting: Reading[] = [];
  #sorted = true;
  /** Live events that came meanwhile: the highest seq of each conversation that is not being read. */
  #raised = new Map<string, number>();
  #bufferedBytes = 0;

  constructor(options: { readonly headsWanted: boolean }) {
    this.headsWanted = options.headsWanted;
  }

  /** Bytes read and not yet handed out. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** True when everything known to be missing was handed out. Call `admit` before. */
  get finished(): boolean {
    return !this.headsWanted && this.#readings.size === 0 && this.#raised.size === 0;
  }

  /** Adds what is missing of a conversation: everything above `afterSeq` up to `targetSeq`. */
  add(conversationId: string, afterSeq: number, targetSeq: number, lastMessageId = NEWEST): void {
    const known = this.#readings.get(conversationId);
    if (known !== undefined) {
      known.targetSeq = Math.max(known.targetSeq, targetSeq);
      return;
    }
    if (targetSeq <= afterSeq) return;
    const reading: Reading = {
      conversationId,
      lastMessageId,
      readSeq: afterSeq,
      targetSeq,
      buffer: [],
      at: 0,
    };
    this.#readings.set(conversationId, reading);
    this.#waiting.push(reading);
    this.#sorted = false;
  }

  /** A live event came: its entry will be read from the timeline, in its place. */
  raise(conversationId: string, seq: number): void {
    const reading = this.#readings.get(conversationId);
    if (reading !== undefined) reading.targetSeq = Math.max(reading.targetSeq, seq);
    else this.#raised.set(conversationId, Math.max(this.#raised.get(conversationId) ?? 0, seq));
  }

  /**
   * Turns raised targets into readings and lets conversations in for those that are finished. `afterOf` says
   * from where a conversation is missing; `onFinished` is told up to where one was handed out.
   */
  admit(
    afterOf: (conversationId: string, raisedSeq: number) => number,
    onFinished: (conversationId: string, seq: number) => void,
  ): void {
    this.#active = this.#active.filter((reading) => {
      if (!isExhausted(reading)) return true;
      this.#readings.delete(reading.conversationId);
      onFinished(reading.conversationId, reading.targetSeq);
      return false;
    });
    if (!this.headsWanted && this.#raised.size > 0) {
      for (const [conversationId, seq] of this.#raised) {
        this.add(conversationId, afterOf(conversationId, seq), seq);
      }
      this.#raised = new Map();
    }
    if (!this.#sorted) {
      this.#waiting.sort((a, b) => (a.lastMessageId < b.lastMessageId ? -1 : 1));
      this.#sorted = true;
    }
    const room = CONVERSATIONS_AT_ONCE_MAX - this.#active.length;
    if (room > 0) this.#active.push(...this.#waiting.splice(0, room));
  }

  /** What has to be read before the next entry is certain; empty if nothing. */
  ranges(): RangeToRead[] {
    const wanting = this.#active.filter(isWanting);
    const share = Math.floor(ENTRIES_PER_READ_MAX / Math.max(1, wanting.length));
    const entries = Math.min(ENTRIES_PER_RANGE_MAX, Math.max(ENTRIES_PER_RANGE_MIN, share));
    return wanting.map(({ conversationId, readSeq, targetSeq }) => ({
      conversationId,
      afterSeq: BigInt(readSeq),
      lastSeq: BigInt(Math.min(targetSeq, readSeq + entries)),
    }));
  }

  /** Takes what was read. False when the answer brought nothing further. */
  accept(slices: readonly TimelineSlice[]): boolean {
    let progress = false;
    for (const slice of slices) {
      const reading = this.#readings.get(slice.conversationId);
      const throughSeq = Number(slice.readThroughSeq);
      if (reading === undefined || throughSeq <= reading.readSeq) continue;
      for (const entry of slice.entries) {
        if (Number(entry.seq) <= reading.readSeq) continue;
        reading.buffer.push(entry);
        this.#bufferedBytes += entry.event.length;
      }
      reading.readSeq = throughSeq;
      progress = true;
    }
    return progress;
  }

  /**
   * The next entry by `message_id`; undefined while a conversation has to be read first. With `anyway`, the
   * next one of those that are there.
   */
  take(anyway: boolean): MissedEntry | undefined {
    let next: Reading | undefined;
    let nextId = NEWEST;
    for (const reading of this.#active) {
      const head = reading.buffer[reading.at];
      if (head === undefined) {
        if (!anyway && isWanting(reading)) return undefined;
      } else if (head.messageId < nextId) {
        next = reading;
        nextId = head.messageId;
      }
    }
    const entry = next?.buffer[next.at];
    if (next === undefined || entry === undefined) return undefined;
    next.at++;
    if (next.at === next.buffer.length) {
      next.buffer = [];
      next.at = 0;
    }
    this.#bufferedBytes -= entry.event.length;
    return {
      conversationId: next.conversationId,
      seq: Number(entry.seq),
      event: entry.event,
    };
  }
}

const isWanting = ({ buffer, readSeq, targetSeq }: Reading) =>
  buffer.length === 0 && readSeq < targetSeq;

const isExhausted = ({ buffer, readSeq, targetSeq }: Reading) =>
  buffer.length === 0 && readSeq >= targetSeq;

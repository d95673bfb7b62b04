/**
 * What a session still has to be sent, and the merge of it: conversations are read in pages, side by side, and
 * their entries handed out by `message_id`. Holds no more than what one round of reading brings.
 */
import type {
  TimelineEntry,
  TimelineSlice,
} from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { judge, type PositionCheck, type Verdict } from "./position-checks.ts";

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

/** What is missing of a conversation. */
export type Missing = {
  /** Everything above this is missing, */
  readonly afterSeq: number;
  /** up to this. */
  readonly targetSeq: number;
  /** Where the conversation's activity ended; last of all if that is not known. */
  readonly lastMessageId?: bigint;
  /** An entry at or below `afterSeq` to be compared with the device's before anything is handed out. */
  readonly check?: PositionCheck | undefined;
};

/** A conversation whose check failed: nothing of it is handed out. */
export type Divergence = {
  readonly conversationId: string;
  readonly check: PositionCheck;
  readonly verdict: Exclude<Verdict, "same" | "open">;
  /** The newest place that the server is known to have; 0 if none. */
  readonly storedSeq: number;
};

type Reading = {
  readonly conversationId: string;
  /** Where the conversation's activity ended, for the order of admission. */
  readonly lastMessageId: bigint;
  /** Read up to here. */
  readSeq: number;
  targetSeq: number;
  /** The newest live event that came meanwhile; 0 if none. */
  raisedSeq: number;
  /** Not done yet. */
  check: PositionCheck | undefined;
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
  // Conversations that diverged: their live events wait for the end.
  readonly #held = new Map<string, number>();
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

  /** The newest live event of each diverged conversation that had one meanwhile. */
  held(): [string, number][] {
    return [...this.#held].filter(([, seq]) => seq > 0);
  }

  /** Adds what is missing of a conversation, or has to be checked. */
  add(conversationId: string, missing: Missing): void {
    const { afterSeq, targetSeq, lastMessageId = NEWEST, check } = missing;
    const known = this.#readings.get(conversationId);
    if (known !== undefined) {
      known.targetSeq = Math.max(known.targetSeq, targetSeq);
      return;
    }
    if (targetSeq <= afterSeq && check === undefined) return;
    const reading: Reading = {
      conversationId,
      lastMessageId,
      readSeq: afterSeq,
      targetSeq,
      raisedSeq: 0,
      check,
      buffer: [],
      at: 0,
    };
    this.#readings.set(conversationId, reading);
    this.#waiting.push(reading);
    this.#sorted = false;
  }

  /** A live event came: its entry will be read from the timeline, in its place. */
  raise(conversationId: string, seq: number): void {
    const held = this.#held.get(conversationId);
    if (held !== undefined) {
      this.#held.set(conversationId, Math.max(held, seq));
      return;
    }
    const reading = this.#readings.get(conversationId);
    if (reading !== undefined) {
      reading.targetSeq = Math.max(reading.targetSeq, seq);
      reading.raisedSeq = Math.max(reading.raisedSeq, seq);
    } else this.#raised.set(conversationId, Math.max(this.#raised.get(conversationId) ?? 0, seq));
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
        this.add(conversationId, { afterSeq: afterOf(conversationId, seq), targetSeq: seq });
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
    return wanting.map((reading) => rangeOf(reading, entries));
  }

  /**
   * Takes what was read, and tells what turned out to have diverged. False when the answer brought nothing
   * further.
   */
  accept(slices: readonly TimelineSlice[], onDiverged: (divergence: Divergence) => void): boolean {
    let progress = false;
    let first = true;
    for (const slice of slices) {
      const reading = this.#readings.get(slice.conversationId);
      const throughSeq = Number(slice.readThroughSeq);
      if (reading?.check !== undefined) {
        const verdict = judge(reading.check, slice, first);
        if (verdict !== "open") progress = true;
        if (verdict === "same") reading.check = undefined;
        else if (verdict !== "open")
          onDiverged(this.#diverge(reading, reading.check, verdict, slice));
      }
      first &&= slice.entries.length === 0;
      if (reading === undefined || reading.check !== undefined) continue;
      if (throughSeq <= reading.readSeq) continue;
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

  #diverge(
    { conversationId, raisedSeq }: Reading,
    check: PositionCheck,
    verdict: Divergence["verdict"],
    { entries }: TimelineSlice,
  ): Divergence {
    const others = (reading: Reading) => reading.conversationId !== conversationId;
    this.#readings.delete(conversationId);
    this.#active = this.#active.filter(others);
    this.#waiting = this.#waiting.filter(others);
    this.#held.set(conversationId, raisedSeq);
    const storedSeq = Math.max(check.headSeq ?? 0, Number(entries.at(-1)?.seq ?? 0));
    return { conversationId, check, verdict, storedSeq };
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

/** What is read next of a conversation: the entry to check, if there is one, and what follows it at once. */
function rangeOf(reading: Reading, entriesMax: number): RangeToRead {
  const { conversationId, readSeq, targetSeq, check } = reading;
  const lastSeq = Math.min(targetSeq, readSeq + entriesMax);
  const range = (after: number, last: number) => ({
    conversationId,
    afterSeq: BigInt(after),
    lastSeq: BigInt(last),
  });
  if (check === undefined) return range(readSeq, lastSeq);
  return range(check.seq - 1, check.seq === readSeq ? lastSeq : check.seq);
}

const isWanting = ({ buffer, readSeq, targetSeq, check }: Reading) =>
  check !== undefined || (buffer.length === 0 && readSeq < targetSeq);

const isExhausted = ({ buffer, readSeq, targetSeq, check }: Reading) =>
  check === undefined && buffer.length === 0 && readSeq >= targetSeq;

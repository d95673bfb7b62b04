/**
 * Brings entries to fan-out, in order within a conversation and independently between conversations.
 *
 * A conversation with entries on their way has a lane. What comes to a lane while it may send goes at once;
 * where the receiver keeps the order of sends, without waiting for the answers to what went before. When a
 * send fails, the lane waits for the answers that are still out,
 * puts what failed in front of what came since, and sends it again after a pause; the other lanes go on. So a
 * receiver that is dead delays its own conversations and no others.
 */
import type { FanoutEntry } from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import { createBackoff } from "@parley/platform/async/backoff";
import type { Timer, TimerClock } from "@parley/platform/clock";
import type { ConversationState } from "./domain/conversation.ts";

/** Entries of one conversation for one send. */
export type LaneBatch = {
  readonly partition: number;
  readonly state: ConversationState;
  readonly entries: readonly FanoutEntry[];
};

export type FanoutLanesOptions = {
  /** Brings a batch there; a rejection means that it may not have arrived, and it is sent again. */
  readonly send: (batch: LaneBatch) => Promise<unknown>;
  /** Called when a batch has arrived. */
  readonly onSent: (batch: LaneBatch) => void;
  /** Called for each batch that has not arrived; `attempt` counts the failures of its lane in a row. */
  readonly onFailed: (batch: LaneBatch, error: unknown, attempt: number) => void;
  readonly clock: TimerClock;
  /** Batches without an answer; what comes above waits in its lane. */
  readonly batchesOutMax: number;
  /**
   * The same for one conversation. 1 keeps the order also where a later send may arrive although an earlier
   * one failed; what comes meanwhile travels in the next send.
   */
  readonly batchesOutPerLaneMax: number;
  readonly random?: () => number;
};

export type FanoutLanes = Disposable & {
  /** Takes entries, in order within a conversation. */
  add(batch: LaneBatch): void;
  /** Entries that have not arrived. */
  readonly entries: number;
  /** Bytes of their events. */
  readonly bytes: number;
  /** Conversations with such entries. */
  readonly lanes: number;
};

/** One send: a record of the log or an item of the stream, well below what either may hold. */
const BATCH_ENTRIES_MAX = 256;
const BATCH_BYTES_MAX = 512 * 1024;
const RETRY_INITIAL_MS = 50;
const RETRY_MAX_MS = 5000;
/** Lanes that wait are looked at this often: one timer for all. */
const RETRY_TICK_MS = 25;

export function createFanoutLanes(options: FanoutLanesOptions): FanoutLanes {
  return new Lanes(options);
}

type Lane = {
  readonly partition: number;
  /** The newest state, which says where entries of the conversation go. */
  state: ConversationState;
  queue: FanoutEntry[];
  out: number;
  failed: FanoutEntry[];
  readonly backoff: ReturnType<typeof createBackoff>;
  /** When it may send again; 0 unless it failed. */
  retryTimeMs: number;
};

class Lanes implements FanoutLanes {
  readonly #options: FanoutLanesOptions;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes that could send if fewer batches were out. */
  readonly #ready = new Set<Lane>();
  readonly #retrying = new Set<Lane>();
  #timer: Timer | undefined;
  #out = 0;
  #disposed = false;
  entries = 0;
  bytes = 0;

  constructor(options: FanoutLanesOptions) {
    this.#options = options;
  }

  get lanes(): number {
    return this.#lanes.size;
  }

  add(batch: LaneBatch): void {
    const { partition, state, entries } = batch;
    const { conversationId } = state;
    let lane = this.#lanes.get(conversationId);
    if (lane === undefined) {
      lane = this.#open(partition, state);
      this.#lanes.set(conversationId, lane);
    }
    lane.state = state;
    lane.queue.push(...entries);
    this.entries += entries.length;
    for (const entry of entries) this.bytes += entry.event.byteLength;
    this.#pump(lane);
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#timer?.cancel();
    this.#ready.clear();
    this.#retrying.clear();
  }

  #open(partition: number, state: ConversationState): Lane {
    const { random } = this.#options;
    const backoff = createBackoff({
      initialMs: RETRY_INITIAL_MS,
      maxMs: RETRY_MAX_MS,
      ...(random === undefined ? {} : { random }),
    });
    return { partition, state, queue: [], out: 0, failed: [], backoff, retryTimeMs: 0 };
  }

  #pump(lane: Lane): void {
    const { batchesOutPerLaneMax } = this.#options;
    while (lane.queue.length > 0 && lane.failed.length === 0 && lane.retryTimeMs === 0) {
      if (this.#disposed || lane.out >= batchesOutPerLaneMax) return;
      if (this.#out >= this.#options.batchesOutMax) {
        this.#ready.add(lane);
        return;
      }
      const entries = takeBatch(lane);
      this.#send(lane, { partition: lane.partition, state: lane.state, entries });
    }
  }

  #send(lane: Lane, batch: LaneBatch): void {
    lane.out++;
    this.#out++;
    let sent: Promise<unknown>;
    try {
      sent = this.#options.send(batch);
    } catch (error) {
      sent = Promise.reject(error);
    }
    sent.then(
      () => this.#arrived(lane, batch),
      (error: unknown) => this.#failed(lane, batch, error),
    );
  }

  #arrived(lane: Lane, batch: LaneBatch): void {
    lane.out--;
    this.#out--;
    lane.backoff.reset();
    this.entries -= batch.entries.length;
    for (const entry of batch.entries) this.bytes -= entry.event.byteLength;
    this.#options.onSent(batch);
    this.#settle(lane);
  }

  #failed(lane: Lane, batch: LaneBatch, error: unknown): void {
    lane.out--;
    this.#out--;
    lane.failed.push(...batch.entries);
    this.#options.onFailed(batch, error, lane.backoff.attempts + 1);
    this.#settle(lane);
  }

  /** After an answer: the lane may have to wait, or be done; others may have got their turn. */
  #settle(lane: Lane): void {
    if (lane.out === 0 && lane.failed.length > 0) {
      const byOffset = (a: FanoutEntry, b: FanoutEntry) => Number(a.offset - b.offset);
      lane.queue = [...lane.failed.sort(byOffset), ...lane.queue];
      lane.failed = [];
      lane.retryTimeMs = this.#options.clock.nowMs() + lane.backoff.next();
      this.#retrying.add(lane);
      this.#setTimer();
    } else if (lane.out === 0 && lane.queue.length === 0) {
      this.#lanes.delete(lane.state.conversationId);
    } else if (lane.queue.length > 0) {
      this.#ready.add(lane);
    }
    for (const next of this.#ready) {
      if (this.#out >= this.#options.batchesOutMax) return;
      this.#ready.delete(next);
      this.#pump(next);
    }
  }

  #setTimer(): void {
    if (this.#timer !== undefined || this.#disposed) return;
    this.#timer = this.#options.clock.setTimer(RETRY_TICK_MS, () => {
      this.#timer = undefined;
      const nowMs = this.#options.clock.nowMs();
      for (const lane of this.#retrying) {
        // A clock that was set back must not make a lane wait for longer than the longest pause.
        if (lane.retryTimeMs > nowMs && lane.retryTimeMs <= nowMs + RETRY_MAX_MS) continue;
        this.#retrying.delete(lane);
        lane.retryTimeMs = 0;
        this.#pump(lane);
      }
      if (this.#retrying.size > 0) this.#setTimer();
    });
  }
}

/** Takes entries from the front of the queue, up to what one send may hold; at least one. */
function takeBatch(lane: Lane): readonly FanoutEntry[] {
  let bytes = 0;
  let count = 0;
  for (const entry of lane.queue) {
    bytes += entry.event.byteLength;
    if (count > 0 && (bytes > BATCH_BYTES_MAX || count >= BATCH_ENTRIES_MAX)) break;
    count++;
  }
  const taken = lane.queue.slice(0, count);
  lane.queue = count === lane.queue.length ? [] : lane.queue.slice(count);
  return taken;
}

/** What was fetched of one partition, on its way to the handler: in order, bounded, one batch at a time. */
import { createBackoff } from "../../async/backoff.ts";
import { sleep } from "../../async/sleep.ts";
import type { ConsumeOptions, LogRecord } from "../port.ts";
import type { KafkaLogSettings } from "./options.ts";

export type KafkaLane = {
  /**
   * Takes fetched records, which continue where the last ones ended. Those that came before are dropped: after
   * a rebalance the brokers repeat some. `gap` when records are missing in between, and nothing was taken.
   */
  offer(records: readonly LogRecord[]): "taken" | "gap";
  /** Ends delivery; resolves when the batch that is being handled has returned. */
  stop(): Promise<void>;
  /** The offset that fetching continues with. */
  readonly nextFetchOffset: number;
  /** True when more waits than should: fetching pauses, until `onDrained`. */
  readonly full: boolean;
};

export type KafkaLaneDeps = {
  readonly settings: KafkaLogSettings;
  readonly options: ConsumeOptions;
  readonly partition: number;
  /** The handler has caught up with what made the lane full. */
  readonly onDrained: () => void;
};

/** Creates a lane whose first record is the one at `startOffset`. */
export function createKafkaLane(deps: KafkaLaneDeps, startOffset: number): KafkaLane {
  return new PartitionLane(deps, startOffset);
}

class PartitionLane implements KafkaLane {
  readonly #deps: KafkaLaneDeps;
  readonly #stopping = new AbortController();
  #records: LogRecord[] = [];
  #bytes = 0;
  #wasFull = false;
  #running: Promise<void> | undefined;
  nextFetchOffset: number;

  constructor(deps: KafkaLaneDeps, startOffset: number) {
    this.#deps = deps;
    this.nextFetchOffset = startOffset;
  }

  get full(): boolean {
    return this.#bytes >= this.#deps.settings.bufferBytesMax;
  }

  offer(records: readonly LogRecord[]): "taken" | "gap" {
    if (this.#stopping.signal.aborted) return "taken";
    const fresh = records.filter(({ offset }) => offset >= this.nextFetchOffset);
    const [first] = fresh;
    if (first === undefined) return "taken";
    if (first.offset !== this.nextFetchOffset) return "gap";
    for (const record of fresh) {
      this.#records.push(record);
      this.#bytes += record.value.byteLength;
    }
    this.nextFetchOffset += fresh.length;
    this.#wasFull ||= this.full;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return "taken";
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted && this.#records.length > 0) {
      const batch = this.#take();
      await this.#deliver(batch);
      if (this.#wasFull && !this.full && !signal.aborted) {
        this.#wasFull = false;
        this.#deps.onDrained();
      }
    }
  }

  #take(): readonly LogRecord[] {
    const { deliveryRecordsMax, deliveryBytesMax } = this.#deps.settings;
    let count = 0;
    let bytes = 0;
    for (const { value } of this.#records) {
      if (count === deliveryRecordsMax) break;
      if (count > 0 && bytes + value.byteLength > deliveryBytesMax) break;
      bytes += value.byteLength;
      count++;
    }
    this.#bytes -= bytes;
    return this.#records.splice(0, count);
  }

  /** Delivers the records until their handler has taken them: it is these or none. */
  async #deliver(records: readonly LogRecord[]): Promise<void> {
    const { settings, options, partition } = this.#deps;
    const { signal } = this.#stopping;
    const backoff = createBackoff({
      initialMs: settings.retryPauseMinMs,
      maxMs: settings.retryPauseMaxMs,
    });
    while (!signal.aborted) {
      try {
        await options.onBatch({ topic: options.topic, partition, records });
        return;
      } catch (error) {
        const pauseMs = Math.ceil(backoff.next());
        this.#report(error, records[0]?.offset ?? this.nextFetchOffset, pauseMs);
        // Rejects only when delivery ends, which the loop sees by itself.
        await sleep(pauseMs, signal).catch(() => {});
      }
    }
  }

  #report(error: unknown, offset: number, pauseMs: number): void {
    const { settings, options, partition } = this.#deps;
    const { topic, group } = options;
    const place = `${topic}/${partition} at offset ${offset}`;
    settings.onProblem({
      kind: "delivery-failed",
      message: `Group ${group} failed to handle ${place}; the same records come again in ${pauseMs} ms.`,
      error,
      topic,
      group,
      partition,
      offset,
    });
  }
}

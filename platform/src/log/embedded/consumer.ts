import { createBackoff } from "../../async/backoff.ts";
import { sleep } from "../../async/sleep.ts";
import type { ConsumeOptions, LogRecord } from "../port.ts";
import type { Follower, Partition } from "./catalogue.ts";
import type { SegmentLogSettings } from "./options.ts";
import type { DiskReader } from "./reader.ts";
import type { DeliveryLimits } from "./tail.ts";

/** Delivers one partition to one group, batch after batch. */
export type Cursor = Follower & {
  /** Ends delivery; resolves when the batch that is being handled has returned. */
  stop(): Promise<void>;
};

export type CursorDeps = {
  readonly settings: SegmentLogSettings;
  readonly reader: DiskReader;
  readonly options: ConsumeOptions;
  readonly partition: Partition;
};

/** Creates a cursor at an offset within the partition's range; it begins with the first `wake`. */
export function createCursor(deps: CursorDeps, start: number): Cursor {
  return new PartitionCursor(deps, start);
}

class PartitionCursor implements Cursor {
  readonly #deps: CursorDeps;
  readonly #limits: DeliveryLimits;
  readonly #stopping = new AbortController();
  #position: number;
  #running = false;
  readonly #stopped: (() => void)[] = [];

  constructor(deps: CursorDeps, start: number) {
    const { deliveryRecordsMax, deliveryBytesMax } = deps.settings;
    this.#deps = deps;
    this.#limits = { recordsMax: deliveryRecordsMax, bytesMax: deliveryBytesMax };
    this.#position = start;
  }

  get position(): number {
    return this.#position;
  }

  wake(): void {
    if (!this.#running && !this.#stopping.signal.aborted) void this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#running) await new Promise<void>((done) => this.#stopped.push(done));
  }

  /**
   * Between the last look at `endOffset` and `running = false` nothing else can run, so a record that
   * comes later finds the cursor asleep and wakes it.
   */
  async #run(): Promise<void> {
    const { partition } = this.#deps;
    const { signal } = this.#stopping;
    this.#running = true;
    while (!signal.aborted && this.#position < partition.endOffset) await this.#deliverNext();
    this.#running = false;
    for (const done of this.#stopped.splice(0)) done();
  }

  /** Delivers the next records until their handler has taken them: it is these or none. */
  async #deliverNext(): Promise<void> {
    const { options, partition, settings } = this.#deps;
    const { signal } = this.#stopping;
    const backoff = createBackoff({
      initialMs: settings.retryPauseMinMs,
      maxMs: settings.retryPauseMaxMs,
    });
    let records: readonly LogRecord[] | undefined;
    while (!signal.aborted) {
      try {
        records ??= await this.#next();
        if (signal.aborted) return;
        const { partition: number } = partition;
        await options.onBatch({ topic: partition.topic.name, partition: number, records });
        this.#position += records.length;
        return;
      } catch (error) {
        const pauseMs = Math.ceil(backoff.next());
        this.#report(error, backoff.attempts, pauseMs);
        // Rejects only when delivery ends, which the loop sees by itself.
        await sleep(pauseMs, signal).catch(() => {});
      }
    }
  }

  /** From memory if the records are still there, else from the files. */
  #next(): readonly LogRecord[] | Promise<readonly LogRecord[]> {
    const { partition, reader } = this.#deps;
    return (
      partition.tail.read(this.#position, this.#limits) ??
      reader.read(partition, this.#position, this.#limits)
    );
  }

  #report(error: unknown, attempt: number, pauseMs: number): void {
    const { options, partition, settings } = this.#deps;
    const { topic, group } = options;
    const offset = this.#position;
    const place = `${topic}/${partition.partition} at offset ${offset}`;
    settings.onProblem({
      kind: "delivery-failed",
      message: `Group ${group} failed to handle ${place}; the same records come again in ${pauseMs} ms.`,
      error,
      topic,
      group,
      partition: partition.partition,
      offset,
      attempt,
      pauseMs,
    });
  }
}

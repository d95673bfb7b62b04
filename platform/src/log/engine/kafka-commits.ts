/** Commits of one consumer: collected, written behind, repeated until the brokers have them. */
import type { Timer } from "../../clock.ts";
import type { GroupClient } from "./kafka-membership.ts";
import type { KafkaLogSettings } from "./options.ts";

export type KafkaCommits = {
  /** Notes an offset; lower ones than before are ignored. */
  note(partition: number, nextOffset: number): void;
  /** Forgets a partition that is somebody else's now. */
  forget(partition: number): void;
  /** Writes what was noted, and nothing after that. */
  close(): Promise<void>;
};

export type KafkaCommitsDeps = {
  readonly settings: KafkaLogSettings;
  readonly client: () => Pick<GroupClient, "commitOffsets"> | undefined;
  readonly topicName: string;
  readonly group: string;
};

export function createKafkaCommits(deps: KafkaCommitsDeps): KafkaCommits {
  return new WrittenBehind(deps);
}

class WrittenBehind implements KafkaCommits {
  readonly #deps: KafkaCommitsDeps;
  readonly #noted = new Map<number, number>();
  readonly #written = new Map<number, number>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(deps: KafkaCommitsDeps) {
    this.#deps = deps;
  }

  note(partition: number, nextOffset: number): void {
    if (nextOffset <= (this.#noted.get(partition) ?? -1)) return;
    this.#noted.set(partition, nextOffset);
    this.#schedule();
  }

  forget(partition: number): void {
    this.#noted.delete(partition);
    this.#written.delete(partition);
  }

  async flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { settings, client, topicName: topic, group } = this.#deps;
    const due = [...this.#noted].filter(([partition, offset]) => {
      return offset > (this.#written.get(partition) ?? -1);
    });
    const current = client();
    if (due.length === 0 || current === undefined) return;
    try {
      const entries = due.map(([partition, offset]) => ({ topic, partition, offset: `${offset}` }));
      await current.commitOffsets(entries);
      for (const [partition, offset] of due) {
        if (this.#noted.has(partition)) this.#written.set(partition, offset);
      }
    } catch (error) {
      const message = `The offsets of group ${group} in ${topic} were not written; they are written later.`;
      settings.onProblem({ kind: "commit-failed", message, error, topic, group });
      this.#schedule();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  #schedule(): void {
    if (this.#closed) return;
    const { clock, commitDelayMs } = this.#deps.settings;
    this.#timer ??= clock.setTimer(commitDelayMs, () => {
      this.#timer = undefined;
      void this.flush();
    });
  }
}

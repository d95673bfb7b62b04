/** A log whose deliveries a test decides: what comes when, again, to whom, and what retention has removed. */
import {
  type ConsumeOptions,
  type Log,
  type LogConsumer,
  type LogRecord,
  LogUnavailableError,
} from "@parley/platform/log/port";

/** One consumer of the log, driven by hand. */
export type ScriptedMember = {
  assign(partition: number): Promise<number>;
  revoke(partition: number): Promise<void>;
  /** Delivers records; rejects if the handler does. */
  deliver(partition: number, offset: number, count: number): Promise<void>;
};

export type ScriptedLog = {
  readonly records: readonly (readonly LogRecord[])[];
  epoch: string;
  /** By partition: what retention has left. */
  readonly startOffsets: number[];
  /** By partition: the highest committed offset. */
  readonly committed: number[];
  /** By partition: where the log ends, if not behind all of its records. */
  readonly endOffsets: number[];
  /** Removes what was committed. */
  retain(): void;
  /** The log as one instance sees it; `onMember` gets its consumer. */
  open(onMember: (member: ScriptedMember) => void): Log;
};

/** Creates the log with its records by partition, already appended. */
export function createScriptedLog(records: readonly (readonly LogRecord[])[]): ScriptedLog {
  const zeros = () => records.map(() => 0);
  const log: ScriptedLog = {
    records,
    epoch: "epoch-1",
    startOffsets: zeros(),
    committed: zeros(),
    endOffsets: records.map((partition) => partition.length),
    retain() {
      for (const partition of records.keys()) {
        log.startOffsets[partition] = log.committed[partition] ?? 0;
      }
    },
    open: (onMember) => openLog(log, onMember),
  };
  return log;
}

function openLog(script: ScriptedLog, onMember: (member: ScriptedMember) => void): Log {
  return {
    identity: { epoch: script.epoch, partitionCount: script.records.length },
    append: () => Promise.reject(new LogUnavailableError("nothing is appended in a script")),
    async range(_topic, partition) {
      return {
        startOffset: script.startOffsets[partition] ?? 0,
        endOffset: script.endOffsets[partition] ?? 0,
      };
    },
    async consume(options) {
      onMember(memberOf(script, options));
      const consumer: LogConsumer = {
        commit(partition, nextOffset) {
          const before = script.committed[partition] ?? 0;
          script.committed[partition] = Math.max(before, nextOffset);
        },
        [Symbol.asyncDispose]: async () => undefined,
      };
      return consumer;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function memberOf(script: ScriptedLog, options: ConsumeOptions): ScriptedMember {
  return {
    async assign(partition) {
      const start = await options.onAssigned?.(partition);
      return start ?? script.committed[partition] ?? 0;
    },
    revoke: async (partition) => options.onRevoked?.(partition),
    async deliver(partition, offset, count) {
      const end = Math.min(offset + count, script.endOffsets[partition] ?? 0);
      const records = (script.records[partition] ?? []).slice(offset, end);
      if (records.length === 0) return;
      await options.onBatch({ topic: options.topic, partition, records });
    },
  };
}

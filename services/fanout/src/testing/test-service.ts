/** The whole service on a real log and a real store, with a registry and gateways that tests hold in hand. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  type FanoutBatch,
  FanoutBatchSchema,
} from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import {
  type ReadRangesRequest,
  TimelineService,
} from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { SessionRegistryService } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { InboxService } from "@parley/gen/parley/message/v1/inbox_service_pb";
import { createDeferred } from "@parley/platform/async/deferred";
import { createManualClock } from "@parley/platform/clock";
import { createHealth } from "@parley/platform/health";
import { createSegmentLog } from "@parley/platform/log/embedded/segment-log";
import { partitionOf } from "@parley/platform/log/partition";
import type { Log } from "@parley/platform/log/port";
import type { Caller } from "@parley/platform/rpc/caller";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { defineRoute, type Route, type Routes } from "@parley/platform/rpc/route";
import type { SpanSink } from "@parley/platform/telemetry/span-sink";
import {
  createTelemetry,
  silentTelemetry,
  type Telemetry,
} from "@parley/platform/telemetry/telemetry";
import { createFanoutService } from "../service.ts";
import { createTestGateway, type TestGateway } from "./test-gateway.ts";

const PARTITIONS = 4;
/** Where topic `messages` ends, from which test entries have made-up offsets. */
const MESSAGES_END_OFFSET = 1_000_000;

/** Who has sessions where. */
export type TestRegistry = {
  /** User id → gateway ids. */
  readonly sessions: Map<string, Set<string>>;
  online(gatewayId: string, ...userIds: string[]): void;
  offline(...userIds: string[]): void;
  lookUps: number;
  /** While true, look-ups are refused. */
  down: boolean;
  readonly route: Route;
};

export type TestTimeline = {
  /** Conversation id and seq → the encoded event, and how much one answer holds. */
  readonly events: Map<string, Uint8Array>;
  bytesPerAnswerMax: number;
  readonly requests: ReadRangesRequest[];
  readonly route: Route;
};

/** What the service has committed. */
type Commits = {
  /** The same log, with commits noted. */
  watch(log: Log): Log;
  /** Partition → next offset. */
  readonly offsets: Map<number, number>;
  /** Resolves with the next commit. */
  next(): Promise<void>;
};

function createCommits(messagesEndOffset: number): Commits {
  const messages = { startOffset: 0, endOffset: messagesEndOffset };
  const offsets = new Map<number, number>();
  let next = createDeferred<void>();
  return {
    offsets,
    next: () => next.promise,
    watch: (log) => ({
      identity: log.identity,
      append: (...record) => log.append(...record),
      range: async (topic, partition) =>
        topic === "messages" ? messages : log.range(topic, partition),
      [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
      async consume(options) {
        const consumer = await log.consume(options);
        return {
          commit(partition, nextOffset) {
            consumer.commit(partition, nextOffset);
            offsets.set(partition, nextOffset);
            next.resolve();
            next = createDeferred();
          },
          [Symbol.asyncDispose]: () => consumer[Symbol.asyncDispose](),
        };
      },
    }),
  };
}

async function drained(log: Log, commits: Commits): Promise<void> {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const { endOffset } = await log.range("fanout", partition);
    while ((commits.offsets.get(partition) ?? 0) < endOffset) await commits.next();
  }
}

export type TestServiceOptions = {
  readonly directory?: string;
  readonly sink?: SpanSink;
  /** Where each partition of topic `messages` ends; beyond all entries if left out. */
  readonly messagesEndOffset?: number;
  /** Who is online at which gateway before the service starts. */
  readonly online?: Readonly<Record<string, readonly string[]>>;
};

/** Creates and starts it. */
export async function createTestService(options: TestServiceOptions = {}) {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), "parley-fanout-")));
  const telemetry = telemetryOf(options.sink);
  const clock = createManualClock();
  const problems: unknown[] = [];
  const commits = createCommits(options.messagesEndOffset ?? MESSAGES_END_OFFSET);
  const health = createHealth();
  const log = await createSegmentLog({
    directory: join(directory, "log"),
    partitionCount: PARTITIONS,
    onProblem: (problem) => problems.push(problem),
  });
  const registry = createTestRegistry();
  for (const [gatewayId, userIds] of Object.entries(options.online ?? {})) {
    registry.online(gatewayId, ...userIds);
  }
  const timeline = createTestTimeline();
  const gateways = new Map<string, TestGateway>();
  const gateway = (gatewayId: string) => {
    let known = gateways.get(gatewayId);
    if (known === undefined) {
      known = createTestGateway();
      gateways.set(gatewayId, known);
    }
    return known;
  };
  const service = await createFanoutService(
    { directory: join(directory, "fanout"), membershipsCachedMax: 10_000 },
    {
      telemetry,
      clock,
      health,
      log: commits.watch(log),
      transports: {
        message: transportTo([timeline.route], telemetry),
        presence: transportTo([registry.route], telemetry),
      },
      gatewayTransport: (gatewayId) => gateway(gatewayId).transport,
    },
  );
  try {
    await service.start();
  } catch (error) {
    await service[Symbol.asyncDispose]();
    await log[Symbol.asyncDispose]();
    throw error;
  }
  const transport = transportTo(service.routes, telemetry);

  return {
    directory,
    telemetry,
    clock,
    health,
    log,
    service,
    registry,
    timeline,
    gateway,
    problems,
    transport,
    fanout: createClient(FanoutService, transport),
    /** The inbox as a person's device asks for it. */
    inboxOf: (userId: string) =>
      createClient(InboxService, transportTo(service.routes, telemetry, deviceOf(userId))),
    /** Puts a batch into the log, as the message service does for groups. */
    append: (batch: FanoutBatch) =>
      log.append("fanout", partitionOf(batch.conversationId, PARTITIONS), encodeBatch(batch)),
    /** Resolves when everything in the log has been dispatched and finished. */
    drainLog: () => drained(log, commits),
    /** Ends the service and the log; the data stays. */
    async stop() {
      await service[Symbol.asyncDispose]();
      await log[Symbol.asyncDispose]();
    },
    async [Symbol.asyncDispose]() {
      await this.stop();
      await telemetry[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export type TestService = Awaited<ReturnType<typeof createTestService>>;

export function encodeBatch(batch: FanoutBatch): Uint8Array {
  return toBinary(FanoutBatchSchema, batch);
}

/** Dispatches batches of direct conversations over one stream; resolves when all are answered. */
export async function dispatchDirect(
  { fanout }: Pick<TestService, "fanout">,
  ...batches: readonly FanoutBatch[]
): Promise<bigint[]> {
  const items = batches.map((batch, index) => ({ correlationId: BigInt(index + 1), batch }));
  const answered: bigint[] = [];
  for await (const { correlationIds } of fanout.dispatchBatches(one({ items }))) {
    answered.push(...correlationIds);
  }
  return answered;
}

async function* one<T>(item: T): AsyncGenerator<T> {
  yield item;
}

function telemetryOf(sink: SpanSink | undefined): Telemetry {
  if (sink === undefined) return silentTelemetry();
  return createTelemetry({
    serviceName: "fanout",
    logLevel: "silent",
    logFormat: "json",
    showPersonal: false,
    tracing: { sampleRatio: 0, sink },
  });
}

function deviceOf(userId: string): Caller {
  return { kind: "device", userId, deviceId: `device of ${userId}`, expireTimeMs: 4e12 };
}

function transportTo(
  routes: Routes,
  telemetry: Telemetry,
  asCaller: Caller = { kind: "internal", service: "test" },
): Transport {
  return createInProcessTransport({
    routes,
    interceptors: standardInterceptors(telemetry),
    asCaller,
  });
}

function createTestRegistry(): TestRegistry {
  const sessions = new Map<string, Set<string>>();
  const registry: TestRegistry = {
    sessions,
    lookUps: 0,
    down: false,
    online(gatewayId, ...userIds) {
      for (const userId of userIds) {
        sessions.set(userId, new Set([...(sessions.get(userId) ?? []), gatewayId]));
      }
    },
    offline(...userIds) {
      for (const userId of userIds) sessions.delete(userId);
    },
    route: defineRoute(SessionRegistryService, {
      async lookUpSessions({ userIds }) {
        registry.lookUps++;
        if (registry.down) throw new Error("the registry is down");
        const found = new Map<string, string[]>();
        for (const userId of userIds) {
          for (const gatewayId of sessions.get(userId) ?? []) {
            found.set(gatewayId, [...(found.get(gatewayId) ?? []), userId]);
          }
        }
        return {
          gateways: [...found].map(([gatewayId, users]) => ({ gatewayId, userIds: users })),
        };
      },
      recordHeartbeats: async () => ({}),
      removeSessions: async () => ({}),
      async *watchPresence() {},
    }),
  };
  return registry;
}

function createTestTimeline(): TestTimeline {
  const events = new Map<string, Uint8Array>();
  const requests: ReadRangesRequest[] = [];
  const timeline: TestTimeline = {
    events,
    requests,
    bytesPerAnswerMax: Number.POSITIVE_INFINITY,
    route: defineRoute(TimelineService, {
      async readRanges(request) {
        requests.push(request);
        let bytes = 0;
        const slices = [];
        for (const { conversationId, lastSeq } of request.ranges) {
          const event = events.get(`${conversationId} ${lastSeq}`);
          bytes += event?.length ?? 0;
          if (slices.length > 0 && bytes > timeline.bytesPerAnswerMax) break;
          const entries = event === undefined ? [] : [{ seq: lastSeq, messageId: lastSeq, event }];
          slices.push({ conversationId, entries, readThroughSeq: lastSeq });
        }
        return { slices };
      },
    }),
  };
  return timeline;
}

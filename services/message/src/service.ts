/** The message service: wiring by hand. */
import { createClient, type Transport } from "@connectrpc/connect";
import { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { PartitionRouteService } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import { sleep } from "@parley/platform/async/sleep";
import { systemClock, type TimerClock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import type { Health } from "@parley/platform/health";
import type { Log } from "@parley/platform/log/port";
import type { Routes } from "@parley/platform/rpc/route";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import { createRoutes } from "./api/routes.ts";
import { createAppender } from "./appender.ts";
import type { MessageConfig } from "./config.ts";
import { createConversationCache } from "./conversation-cache.ts";
import { createConversationReader } from "./conversation-reader.ts";
import { createDispatcher } from "./dispatcher.ts";
import { repeat } from "./housekeeping.ts";
import { checkIdentity } from "./log-check.ts";
import { type MessageConsumer, startMessageConsumer } from "./message-consumer.ts";
import { createMessageMetrics } from "./metrics.ts";
import { createOutcomeWaiters, type OutcomeWaiters } from "./outcome-waiters.ts";
import { createPartitionAnnouncer, type PartitionAnnouncer } from "./partition-announcer.ts";
import type { MessageStore } from "./ports.ts";
import { createReceiptSettings } from "./receipt-settings.ts";
import { openStore } from "./stores.ts";

export type MessageServiceDependencies = {
  readonly telemetry: Telemetry;
  readonly clock?: TimerClock;
  readonly log: Log;
  /** Told which partitions stand still, and why. */
  readonly health?: Health;
  readonly transports: {
    readonly fanout: Transport;
    readonly directory: Transport;
    /** Where other instances look for this one; not called without `advertisedAddress`. */
    readonly presence: Transport;
  };
};

export type MessageService = AsyncDisposable & {
  /** AppendService and TimelineService (internal), MessageService (devices), ParkedRecordService (operators). */
  readonly routes: Routes;
  /**
   * Checks that the store belongs to the log (LogMismatchError says what to do), begins to consume it, and
   * waits until what was acknowledged before can be read. When that takes long it goes on behind `start`,
   * and health says so.
   */
  start(): Promise<void>;
  /**
   * Takes no more appends, and resolves when those at work are answered and brought to fan-out, or after
   * `deadlineMs`.
   */
  drain(deadlineMs?: number): Promise<void>;
};

/** Appends that may wait for their place: some seconds of full load, at 1 KiB each. */
const APPENDS_WAITING_MAX = 50_000;
/** Longer than callers wait, so that theirs is the usual limit. */
const APPEND_TIMEOUT_MS = 15_000;
const SWEEP_INTERVAL_MS = 500;
/** Entries that wait for fan-out before consumption pauses: some seconds of full load. */
const DISPATCH_ENTRIES_MAX = 32_768;
const DISPATCH_BYTES_MAX = 64 * 1024 * 1024;
/** What a crash makes fan-out see again, at most, when nothing else is written. */
const CHECKPOINT_INTERVAL_MS = 500;
const PURGE_INTERVAL_MS = 60_000;
/** One step keeps the store busy for some ms; a day's entries of a busy server go in some minutes. */
const PURGE_ENTRIES_PER_STEP_MAX = 2000;
const PURGE_STEPS_MAX = 100;
const DRAIN_MS = 10_000;
/** Less than a process is given to start. */
const CATCH_UP_WAIT_MS = 20_000;
const CATCHING_UP_RETRY_MS = 1000;

/** Creates the service. Disposing it commits what is applied; what was not dispatched comes again from the log. */
export async function createMessageService(
  config: MessageConfig,
  dependencies: MessageServiceDependencies,
): Promise<MessageService> {
  const { telemetry, clock = systemClock, log, health, transports } = dependencies;
  await using resources = new AsyncDisposableStack();
  const metrics = createMessageMetrics(telemetry.metrics);
  const store = resources.use(await openStore(config, { telemetry, health, metrics }));
  const cache = createConversationCache({
    conversationsMax: config.cacheConversationsMax,
    bytesMax: config.cacheBytesMax,
  });
  const conversations = createConversationReader({ cache, store });
  const waiters = createOutcomeWaiters({
    clock,
    waitersMax: APPENDS_WAITING_MAX,
    timeoutMs: APPEND_TIMEOUT_MS,
  });
  const dispatcher = createDispatcher({
    log,
    fanout: transports.fanout,
    clock,
    telemetry,
    metrics,
    entriesMax: DISPATCH_ENTRIES_MAX,
    bytesMax: DISPATCH_BYTES_MAX,
  });
  let consumer: MessageConsumer | undefined;
  // A store that instances share has what was acknowledged; one that a crash takes back is replayed first.
  let caughtUp = config.cassandra !== undefined;
  resources.defer(async () => consumer?.[Symbol.asyncDispose]());
  // Before the consumer: a batch that waits for room ends, and comes again with the next start.
  resources.use(dispatcher);
  const draining = new AbortController();
  resources.defer(() => draining.abort());
  const appender = createAppender({
    log,
    store,
    conversations,
    waiters,
    metrics,
    telemetry,
    limits: config,
  });
  const routes = createRoutes({
    appender,
    store,
    conversations,
    telemetry,
    clock,
    fanout: createClient(FanoutService, transports.fanout),
    receiptSettings: createReceiptSettings({
      directory: transports.directory,
      clock,
      log: telemetry.log,
    }),
    onRaised: () => metrics.receipts.inc(),
    drainSignal: draining.signal,
    assertCaughtUp() {
      if (!caughtUp) throw catchingUp();
    },
  });
  const owned = resources.move();
  return {
    routes,
    async start() {
      await checkIdentity(store, log.identity);
      const announcer = owned.use(announce(config, dependencies));
      const shared = { clock, log: telemetry.log };
      const stores = { log, store, cache, waiters, dispatcher };
      const parts = { ...stores, metrics, telemetry, clock, health, announcer };
      consumer = await startMessageConsumer(parts);
      consumer.caughtUp.then(() => {
        caughtUp = true;
      });
      await waitForCatchUp(consumer, { health, log: telemetry.log });
      const work = { ...shared, config, store, waiters };
      owned.use(startHousekeeping(work, () => consumer?.saveCheckpoints()));
    },
    async drain(deadlineMs = DRAIN_MS) {
      draining.abort();
      const deadline = AbortSignal.timeout(deadlineMs);
      // In this order: what is answered is on its way to fan-out in the same turn.
      await waiters.idle(deadline);
      await dispatcher.idle(deadline);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Who else has to know which partitions are applied here; nobody where there is one instance. */
function announce(
  { advertisedAddress: address }: MessageConfig,
  { transports, log: { identity }, telemetry, clock = systemClock }: MessageServiceDependencies,
): PartitionAnnouncer | undefined {
  if (address === undefined) return undefined;
  const routes = createClient(PartitionRouteService, transports.presence);
  const { partitionCount } = identity;
  return createPartitionAnnouncer({ routes, address, partitionCount, clock, log: telemetry.log });
}

/** What is done from time to time, until disposed. */
function startHousekeeping(
  parts: {
    readonly clock: TimerClock;
    readonly log: Logger;
    readonly config: MessageConfig;
    readonly store: Pick<MessageStore, "purgeDedupe">;
    readonly waiters: Pick<OutcomeWaiters, "sweep">;
  },
  saveCheckpoints: () => void,
): AsyncDisposable {
  const { clock, log, config, store, waiters } = parts;
  const resources = new AsyncDisposableStack();
  const every = (intervalMs: number, name: string, run: (signal: AbortSignal) => unknown) =>
    resources.use(
      repeat({ clock, log, name, intervalMs }, async (signal) => void (await run(signal))),
    );
  every(CHECKPOINT_INTERVAL_MS, "checkpoints", saveCheckpoints);
  every(SWEEP_INTERVAL_MS, "late appends", () => waiters.sweep());
  every(PURGE_INTERVAL_MS, "dedupe purge", (signal) => purge(store, config, clock, signal));
  return resources;
}

function catchingUp(): Error {
  const text = "The newest messages are being replayed from the log.";
  return unavailable("CATCHING_UP", text, { retryAfterMs: CATCHING_UP_RETRY_MS });
}

async function waitForCatchUp(
  consumer: Pick<MessageConsumer, "caughtUp">,
  { health, log }: { readonly health: Health | undefined; readonly log: Logger },
): Promise<void> {
  const late = Symbol("late");
  const waited = new AbortController();
  const timeout = sleep(CATCH_UP_WAIT_MS, waited.signal).then(
    () => late,
    () => undefined,
  );
  const first = await Promise.race([consumer.caughtUp, timeout]);
  waited.abort();
  if (first !== late) return;
  const component = "message catch-up";
  health?.set(component, false, "Messages are being replayed from the log; the newest come last.");
  log.warn("Replaying the log takes long; it goes on behind the start.");
  consumer.caughtUp.then(() => health?.set(component, true));
}

/** Removes what no record can refer to any more, in steps, so that nobody waits for long. */
async function purge(
  store: Pick<MessageStore, "purgeDedupe">,
  config: Pick<MessageConfig, "dedupeKeptMs">,
  clock: TimerClock,
  signal: AbortSignal,
): Promise<void> {
  const beforeMs = clock.nowMs() - config.dedupeKeptMs;
  for (let step = 0; step < PURGE_STEPS_MAX && !signal.aborted; step++) {
    if (!(await store.purgeDedupe(beforeMs, PURGE_ENTRIES_PER_STEP_MAX))) return;
  }
}

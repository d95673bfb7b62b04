/** The fan-out service: wiring by hand. */
import { createClient, type Transport } from "@connectrpc/connect";
import { TimelineService } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { SessionRegistryService } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { systemClock, type TimerClock } from "@parley/platform/clock";
import type { Health } from "@parley/platform/health";
import type { Log, LogConsumer } from "@parley/platform/log/port";
import type { Routes } from "@parley/platform/rpc/route";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import { createAbsentees } from "./absentees.ts";
import { createRoutes } from "./api/routes.ts";
import type { FanoutConfig } from "./config.ts";
import { createDeliverer, type Deliverer, ephemeralEvent } from "./deliverer.ts";
import { createDispatcher } from "./dispatcher.ts";
import { startFanoutConsumer } from "./fanout-consumer.ts";
import { createFanoutMetrics } from "./fanout-metrics.ts";
import { createGatewayLinks, type GatewayTransport } from "./gateway-links.ts";
import { checkLogIdentity } from "./log-identity.ts";
import { createReceipts } from "./receipts.ts";
import { createRevocation } from "./revocation.ts";
import { createSessionLocator } from "./session-locator.ts";
import { openStore } from "./stores.ts";

export type FanoutDependencies = {
  readonly telemetry: Telemetry;
  readonly clock?: TimerClock;
  readonly log: Log;
  /** Told when the inboxes cannot be written, or are older than the messages. */
  readonly health?: Health;
  readonly transports: { readonly message: Transport; readonly presence: Transport };
  /** Opens the way to a gateway that the session registry names. */
  readonly gatewayTransport: GatewayTransport;
};

export type FanoutService = AsyncDisposable & {
  /** FanoutService (internal) and InboxService (devices). */
  readonly routes: Routes;
  /**
   * Checks that the inboxes belong to the log and that it holds what they miss (InboxIdentityError), and
   * begins to consume it.
   */
  start(): Promise<void>;
  /** Takes no new batches, and resolves when the gateways have what was taken (or count as gone). */
  drain(): Promise<void>;
};

/** Creates the service. Disposing it finishes what can be; the rest comes again. Throws InboxOpenError. */
export async function createFanoutService(
  config: FanoutConfig,
  dependencies: FanoutDependencies,
): Promise<FanoutService> {
  const {
    telemetry,
    clock = systemClock,
    log,
    health,
    transports,
    gatewayTransport,
  } = dependencies;
  const { log: logger, tracer } = telemetry;
  await using resources = new AsyncDisposableStack();
  const store = resources.use(await openStore(config, { log: logger, health }));
  const metrics = createFanoutMetrics(telemetry.metrics, {
    queueDepth: () => links.depth,
    gateways: () => links.count,
    unfinishedBatches: () => dispatcher.unfinished,
  });
  const absentees = createAbsentees(metrics);
  const registry = createClient(SessionRegistryService, transports.presence);
  const locator = createSessionLocator({ registry, log: logger });
  const links = resources.use(
    createGatewayLinks({ gatewayTransport, locator, clock, log: logger, observer: absentees }),
  );
  const deliverer = createDeliverer({ locator, links, absentees, metrics });
  const onMissing = createMissingReport(logger, health);
  const onMissingChange = createMissingChangeReport(logger, health);
  const parts = {
    store,
    locator,
    links,
    deliverer,
    metrics,
    tracer,
    clock,
    onMissing,
    onMissingChange,
    log: logger,
  };
  const dispatcher = resources.use(createDispatcher(parts));
  // The locator goes before those who wait for it.
  resources.use(locator);
  const receipts = resources.use(createReceipts(parts));
  const revocation = resources.use(createRevocation(parts));
  const draining = new AbortController();
  let consumer: LogConsumer | undefined;
  const stopTaking = async () => {
    draining.abort();
    await consumer?.[Symbol.asyncDispose]();
  };
  resources.defer(stopTaking);
  const routes = createRoutes({
    store,
    dispatcher,
    receipts,
    deliverEphemeral: (event, userIds) => deliverEphemeral(deliverer, event, userIds),
    revoke: revocation.revoke,
    timeline: createClient(TimelineService, transports.message),
    drainSignal: draining.signal,
  });
  const owned = resources.move();
  return {
    routes,
    async start() {
      await checkLogIdentity(store, log);
      consumer = await startFanoutConsumer({ log, store, dispatcher, metrics, logger });
    },
    async drain() {
      await stopTaking();
      await Promise.all([dispatcher.idle(), receipts.flush()]);
      await links.empty();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Says it once: the first conversation shows what is wrong, and every other one would say the same. */
function createMissingReport(logger: Logger, health: Health | undefined) {
  let reported = false;
  return (conversationId: string, missingSeq: bigint) => {
    if (reported) return;
    reported = true;
    const text =
      "The inboxes are older than the messages: entries that were dispatched before are not in them, and " +
      "people who reconnect are not told of them. Restore all directories of the server from the same backup.";
    health?.set("inboxes", false, text);
    logger.error({ conversation_id: conversationId, missing_seq: missingSeq.toString() }, text);
  };
}

/** Says it of each group: their members have to be looked at. */
function createMissingChangeReport(logger: Logger, health: Health | undefined) {
  return (conversationId: string, missingVersion: bigint) => {
    const text =
      "A change of a group's members did not reach the inboxes: who left by it may still be told of entries, " +
      "and who joined by it may not. Restore all directories of the server from the same backup.";
    health?.set("inboxes", false, text);
    logger.error(
      { conversation_id: conversationId, missing_version: missingVersion.toString() },
      text,
    );
  };
}

function deliverEphemeral(
  deliverer: Pick<Deliverer, "deliver">,
  event: Uint8Array,
  userIds: readonly string[],
): Promise<unknown> {
  return deliverer.deliver({ conversationId: "", events: [ephemeralEvent(event)], userIds });
}

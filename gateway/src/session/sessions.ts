/** Everything about sessions that does not depend on their roads, wired together. */
import { createValidator } from "@bufbuild/protovalidate";
import { createClient } from "@connectrpc/connect";
import { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { AppendService } from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { TimelineService } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { SessionRegistryService } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { MessageService } from "@parley/gen/parley/message/v1/message_service_pb";
import type { TimerClock } from "@parley/platform/clock";
import { newUuid } from "@parley/platform/ids";
import { createRateLimiter } from "@parley/platform/rate-limit";
import type { DeviceCaller } from "@parley/platform/rpc/caller";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { GatewayConfig } from "../config.ts";
import { type ConversationModes, createConversationModes } from "../inbound/conversation-modes.ts";
import { createEdgeContent, type EdgeContent } from "../inbound/edge-content.ts";
import { asGateway, valuesOf } from "../inbound/gateway-caller.ts";
import type { RateLimits } from "../inbound/rate-limits.ts";
import type { ServiceTransports } from "../inbound/routes.ts";
import type { GatewayMetrics } from "../metrics.ts";
import { ByteBudget } from "./byte-budget.ts";
import type { DeviceChecks } from "./device-checks.ts";
import { createFrameActions } from "./frame-actions.ts";
import { createFrameHandler } from "./frame-handler.ts";
import { Hub } from "./hub.ts";
import { TYPING_INTERVAL_MS } from "./limits.ts";
import { createNewestSeq } from "./newest-seq.ts";
import { createPresenceStream } from "./presence-stream.ts";
import { PresenceWatches } from "./presence-watches.ts";
import { Registration } from "./registration.ts";
import { createSends } from "./sends.ts";
import { createSweep } from "./sweep.ts";

export type SessionsDependencies = {
  readonly telemetry: Telemetry;
  readonly clock: TimerClock;
  readonly transports: ServiceTransports;
  readonly metrics: GatewayMetrics;
  readonly deviceChecks: DeviceChecks;
  readonly limits: RateLimits;
  readonly verify: (accessToken: string) => Promise<DeviceCaller>;
};

export type Sessions = {
  readonly hub: Hub;
  readonly modes: ConversationModes;
  readonly content: EdgeContent;
  readonly watchedCount: number;
  readonly sendsInFlight: number;
  /** Begins to watch the time; `also` is called at each sweep with the clock's monotone time. */
  start(also: (nowMs: number) => void): void;
  /** Ends what was begun; `registered` if the registry may know of this gateway. */
  close(registered: boolean): Promise<void>;
};

/** Entries that all sessions that catch up hold together: some hundred pages. */
const CATCH_UP_BYTES_MAX = 256 * 1024 * 1024;
/** Typing notices that are remembered for their interval, at about 200 bytes each. */
const TYPING_KEYS_MAX = 50_000;
/** Frames of one session per second: what no client of a person sends, and at least its sends. */
const FRAMES_PER_SECOND_MIN = 1000;
const FRAMES_PER_SEND = 10;

export function createSessions(
  config: GatewayConfig,
  dependencies: SessionsDependencies,
): Sessions {
  const { telemetry, clock, metrics, deviceChecks, limits, verify } = dependencies;
  const { log, tracer } = telemetry;
  const clients = createClients(dependencies.transports);
  const { directory, fanout, messages, registry, timeline } = clients;
  const modes = createConversationModes({ conversations: clients.conversations, valuesOf });
  const content = createEdgeContent(modes);
  const gatewayId = newUuid(clock.nowMs());
  const gatewayAddress = config.deliveryAddress;
  const registration = new Registration({ registry, gatewayId, gatewayAddress, clock, log });
  const budget = new ByteBudget(CATCH_UP_BYTES_MAX);
  const onEntries = metrics.onCatchUpEntries;
  const newestSeq = createNewestSeq({ messages, valuesOf });
  const hub = new Hub({
    registration,
    catchUp: { fanout, timeline, modes, budget, clock, newestSeq, onEntries },
    clock,
    log,
    verify,
    isRevokedNow: deviceChecks.isRevokedNow,
    framesPerSecondMax: Math.max(
      FRAMES_PER_SECOND_MIN,
      config.rates.sendsPerSecond * FRAMES_PER_SEND,
    ),
    sessionsMax: config.sessionsMax,
    onEnded: (_session, goodbye) => goodbye !== undefined && metrics.onGoodbye(goodbye.reason),
  });
  const watches = new PresenceWatches({
    directory,
    clock,
    log,
    deliver: (session, event) => hub.deliver(session, event),
    openStream: (onPresence, watched) =>
      createPresenceStream({ registry, gatewayId, log, onPresence, watched }),
  });
  const sends = createSends({ append: clients.append, tracer, log });
  const typingLimit = createRateLimiter({
    ratePerSecond: 1000 / TYPING_INTERVAL_MS,
    burst: 1,
    keysMax: TYPING_KEYS_MAX,
    clock,
  });
  const acting = { sends, limits, typingLimit, content, messages, fanout };
  hub.bind({
    watches,
    handleFrame: createFrameHandler({
      validator: createValidator(),
      actions: createFrameActions({ ...acting, verify, valuesOf, clock, log }),
      watches,
      breach: (session, detail) => hub.breach(session, detail),
      finish: (session, answer) => hub.finish(session, answer),
      addPositions: (session, more) => hub.catchUps.addPositions(session, more),
      onRefused: metrics.onRefused,
      isDraining: () => hub.draining,
    }),
  });
  const sweep = createSweep({ hub, registration, watches, deviceChecks, clock, log });
  return {
    hub,
    modes,
    content,
    get watchedCount() {
      return watches.size;
    },
    get sendsInFlight() {
      return sends.inFlight;
    },
    start: (also) => sweep.start(also),
    async close(registered) {
      await sweep[Symbol.asyncDispose]();
      await sends[Symbol.asyncDispose]();
      await watches[Symbol.asyncDispose]();
      if (registered) await registration.close();
    },
  };
}

function createClients(transports: ServiceTransports) {
  const directory = asGateway(transports.directory);
  const message = asGateway(transports.message);
  const fanout = asGateway(transports.fanout);
  const presence = asGateway(transports.presence);
  return {
    directory: createClient(DirectoryService, directory),
    conversations: createClient(ConversationService, directory),
    append: createClient(AppendService, message),
    timeline: createClient(TimelineService, message),
    messages: createClient(MessageService, message),
    fanout: createClient(FanoutService, fanout),
    registry: createClient(SessionRegistryService, presence),
  };
}

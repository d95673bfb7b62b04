/** The session core without any network: the hub over in-memory services, with roads of the test's own. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { OpenSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { TimerClock } from "@parley/platform/clock";
import { createManualClock } from "@parley/platform/clock";
import { newUuid } from "@parley/platform/ids";
import type { DeviceCaller } from "@parley/platform/rpc/caller";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { toGatewayConfig } from "../config.ts";
import { asGateway } from "../inbound/gateway-caller.ts";
import { createRateLimits } from "../inbound/rate-limits.ts";
import { createGatewayMetrics } from "../metrics.ts";
import { createDeviceChecks } from "../session/device-checks.ts";
import type { Session } from "../session/session.ts";
import { createSessions, type Sessions } from "../session/sessions.ts";
import { createMemoryServices, type MemoryServices } from "./memory-services.ts";
import type { RecordingOutlet } from "./recording-outlet.ts";
import type { TokenMint } from "./tokens.ts";

export type TestSessions = AsyncDisposable & {
  readonly sessions: Sessions;
  readonly services: MemoryServices;
  open(
    caller: DeviceCaller,
    outlet: RecordingOutlet,
    open?: MessageInitShape<typeof OpenSchema>,
  ): Promise<Session>;
};

export async function createTestSessions(
  options: { clock?: TimerClock; mint?: TokenMint; callsPerSecond?: number } = {},
): Promise<TestSessions> {
  const clock = options.clock ?? createManualClock();
  const services = await createMemoryServices(options.mint);
  const config = toGatewayConfig({
    workingDirectory: "/",
    PARLEY_GATEWAY_SENDS_PER_SECOND: "100000",
    PARLEY_GATEWAY_CALLS_PER_SECOND: String(options.callsPerSecond ?? 100_000),
  });
  const telemetry = silentTelemetry();
  const { transports } = services;
  const directory = createClient(DirectoryService, asGateway(transports.directory));
  const none = () => 0;
  const figures = { sessions: none, connections: none, watched: none, sendsInFlight: none };
  const sessions = createSessions(config, {
    telemetry,
    clock,
    transports,
    metrics: createGatewayMetrics(telemetry.metrics, figures),
    deviceChecks: createDeviceChecks({ directory, clock }),
    limits: createRateLimits(config.rates, clock),
    verify: () => Promise.reject(new Error("sessions of these tests come with their caller")),
  });
  return {
    sessions,
    services,
    open: (caller, outlet, open = {}) =>
      sessions.hub.open({
        open: create(OpenSchema, { positionsComplete: true, ...open }),
        requestId: 1n,
        caller,
        json: false,
        takesSubmit: false,
        outletOf: () => outlet,
      }),
    [Symbol.asyncDispose]: () => sessions.close(true),
  };
}

/** A device of a new person, or of the one given. */
export function testCaller(userId = newUuid()): DeviceCaller {
  return { kind: "device", userId, deviceId: newUuid(), expireTimeMs: Number.MAX_SAFE_INTEGER };
}

/** Lets everything that waits for nothing but the event loop happen. */
export async function settle(turns = 10): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((next) => setImmediate(next));
}

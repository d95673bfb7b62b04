/** Looks at everything with a time limit, for all sessions together: no session has a timer of its own. */
import { GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { TimerClock } from "@parley/platform/clock";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { DeviceChecks } from "./device-checks.ts";
import type { Hub } from "./hub.ts";
import {
  DEVICE_CHECK_INTERVAL_MS,
  HEARTBEAT_INTERVAL_MS,
  IDLE_MS_MAX,
  PING_AFTER_MS,
  SWEEP_INTERVAL_MS,
} from "./limits.ts";
import type { PresenceWatches } from "./presence-watches.ts";
import type { Registration } from "./registration.ts";
import type { Session } from "./session.ts";

export type SweepDependencies = {
  readonly hub: Hub;
  readonly registration: Pick<Registration, "tick">;
  readonly watches: Pick<PresenceWatches, "recheck">;
  readonly deviceChecks: Pick<DeviceChecks, "revokedAmong">;
  readonly clock: TimerClock;
  readonly log: Logger;
};

export type Sweep = AsyncDisposable & {
  /** `also` is called at each sweep with the clock's monotone time, for what is no session yet. */
  start(also: (nowMs: number) => void): void;
};

/** Creates the sweep. Disposing it waits for the questions that are on their way. */
export function createSweep(dependencies: SweepDependencies): Sweep {
  const { hub, registration, deviceChecks, clock, log } = dependencies;
  const working = new Set<Promise<void>>();
  let stopped = false;
  let timer: Disposable | undefined;
  let also: (nowMs: number) => void = () => undefined;
  let nextTickMs = 0;
  let nextDeviceCheckMs = 0;

  const track = (work: Promise<void>) => {
    working.add(work);
    void work.finally(() => working.delete(work));
  };

  const tick = async () => {
    for (const session of await registration.tick(hub.sessions.all()))
      hub.catchUps.startAgain(session);
  };

  const checkDevices = async () => {
    const devices = new Map<string, string>();
    for (const { deviceId, userId } of hub.sessions.all()) devices.set(deviceId, userId);
    try {
      for (const deviceId of await deviceChecks.revokedAmong([...devices.keys()])) {
        hub.endDevices(devices.get(deviceId) ?? "", [deviceId]);
      }
    } catch (error) {
      log.warn({ error }, "The directory was not asked about the devices of open sessions.");
    }
  };

  const sweep = () => {
    const nowMs = clock.monotoneMs();
    also(nowMs);
    for (const session of hub.sessions.all()) sweepSession(session, nowMs, dependencies);
    for (const session of hub.closing) {
      if (nowMs < session.deadlineMs) continue;
      session.outlet.destroy();
      hub.closed(session);
    }
    if (nowMs >= nextTickMs) {
      nextTickMs = nowMs + HEARTBEAT_INTERVAL_MS;
      if (hub.sessions.size > 0) track(tick());
    }
    if (nowMs >= nextDeviceCheckMs) {
      nextDeviceCheckMs = nowMs + DEVICE_CHECK_INTERVAL_MS;
      if (hub.sessions.size > 0) track(checkDevices());
    }
    if (!stopped) timer = clock.setTimer(SWEEP_INTERVAL_MS, sweep);
  };

  return {
    start(given) {
      also = given;
      const nowMs = clock.monotoneMs();
      nextTickMs = nowMs + HEARTBEAT_INTERVAL_MS;
      nextDeviceCheckMs = nowMs + DEVICE_CHECK_INTERVAL_MS;
      timer = clock.setTimer(SWEEP_INTERVAL_MS, sweep);
    },
    async [Symbol.asyncDispose]() {
      stopped = true;
      timer?.[Symbol.dispose]();
      await Promise.all(working);
    },
  };
}

function sweepSession(session: Session, nowMs: number, dependencies: SweepDependencies): void {
  const { hub, watches, clock } = dependencies;
  session.framesHeard = 0;
  if (session.deadlineMs !== 0 && nowMs >= session.deadlineMs) {
    if (session.state === "catching-up") hub.slow(session);
    else hub.breach(session, "The positions were not complete in time.");
    return;
  }
  const silentMs = nowMs - session.heardMs;
  if (silentMs >= IDLE_MS_MAX) {
    hub.end(session, GoodbyeReason.IDLE);
    return;
  }
  // A token says by the time of day when it ends.
  if (clock.nowMs() >= session.expireTimeMs) {
    hub.end(session, GoodbyeReason.TOKEN_EXPIRED);
    return;
  }
  if (silentMs >= PING_AFTER_MS) session.outlet.ping();
  watches.recheck(session, nowMs);
}

/**
 * The links to all gateways: made when a session is found there, closed when none is for a while. One that has
 * yet to tell its gateway whom deliveries were given up for stays as long as the registry knows them there.
 */
import type { Transport } from "@connectrpc/connect";
import type { GatewaySessions } from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import type { Timer, TimerClock } from "@parley/platform/clock";
import type { Logger } from "@parley/platform/telemetry/logger";
import { createGatewayLink, type GatewayLink, type LinkObserver } from "./gateway-link.ts";
import type { SessionLocator } from "./session-locator.ts";

/** Opens the way to a gateway; disposed of with its link when it can be. */
export type GatewayTransport = (gatewayId: string, gatewayAddress: string) => Transport;

export type GatewayLinks = AsyncDisposable & {
  /** The link to a gateway. A gateway that comes back under another address gets a new one. */
  get(gateway: Pick<GatewaySessions, "gatewayId" | "gatewayAddress">): GatewayLink;
  /** Resolves when nothing is queued any more on any link. */
  empty(): Promise<void>;
  /** Deliveries without an acknowledgement, over all links. */
  readonly depth: number;
  readonly count: number;
};

export type GatewayLinksOptions = {
  readonly gatewayTransport: GatewayTransport;
  readonly locator: Pick<SessionLocator, "locate">;
  readonly clock: TimerClock;
  readonly log: Logger;
  readonly observer: LinkObserver;
};

/** A gateway that nobody was found on for this long has stopped; a restarted one has another id. */
const IDLE_MS = 60_000;
const IDLE_CHECK_MS = 10_000;

type Entry = {
  readonly gatewayAddress: string;
  readonly transport: Transport;
  readonly link: GatewayLink;
  /** The registry is being asked whether it still knows the gateway. */
  asking: boolean;
};

/** Creates an empty set of links. Disposing it gives up what is queued. */
export function createGatewayLinks(options: GatewayLinksOptions): GatewayLinks {
  const { gatewayTransport, locator, clock, log, observer } = options;
  const entries = new Map<string, Entry>();
  const closing = new Set<Promise<void>>();
  let timer: Timer | undefined;
  let disposed = false;

  const close = (gatewayId: string, { link, transport }: Entry) => {
    entries.delete(gatewayId);
    const closed = disposeOf(link, transport)
      .catch((error) => log.warn({ gateway_id: gatewayId, error }, "A link did not end cleanly."))
      .finally(() => closing.delete(closed));
    closing.add(closed);
  };

  const closeIdle = () => {
    for (const [gatewayId, entry] of entries) {
      if (entry.link.idleMs < IDLE_MS) continue;
      if (entry.link.missedUserIds.length === 0) close(gatewayId, entry);
      else if (!entry.asking) void closeIfGone(gatewayId, entry);
    }
  };

  const closeIfGone = async (gatewayId: string, entry: Entry) => {
    entry.asking = true;
    try {
      const located = await locator.locate(entry.link.missedUserIds);
      const gone = located.every((gateway) => gateway.gatewayId !== gatewayId);
      const idle = entry.link.idleMs >= IDLE_MS;
      if (gone && idle && entries.get(gatewayId) === entry) close(gatewayId, entry);
    } catch {
      // Fan-out is stopping.
    } finally {
      entry.asking = false;
    }
  };

  const setTimer = () => {
    timer = clock.setTimer(IDLE_CHECK_MS, () => {
      closeIdle();
      if (!disposed) setTimer();
    });
  };
  setTimer();

  return {
    get({ gatewayId, gatewayAddress }) {
      const known = entries.get(gatewayId);
      if (known?.gatewayAddress === gatewayAddress) return known.link;
      if (known !== undefined) close(gatewayId, known);
      const transport = gatewayTransport(gatewayId, gatewayAddress);
      const link = createGatewayLink({ gatewayId, transport, clock, log, observer });
      entries.set(gatewayId, { gatewayAddress, transport, link, asking: false });
      return link;
    },
    async empty() {
      await Promise.all([...entries.values()].map(({ link }) => link.empty()));
    },
    get depth() {
      let depth = 0;
      for (const { link } of entries.values()) depth += link.depth;
      return depth;
    },
    get count() {
      return entries.size;
    },
    async [Symbol.asyncDispose]() {
      disposed = true;
      timer?.cancel();
      for (const [gatewayId, entry] of [...entries]) close(gatewayId, entry);
      await Promise.all(closing);
    },
  };
}

async function disposeOf(link: GatewayLink, transport: Transport): Promise<void> {
  await link[Symbol.asyncDispose]();
  if (isAsyncDisposable(transport)) await transport[Symbol.asyncDispose]();
}

function isAsyncDisposable(transport: Transport): transport is Transport & AsyncDisposable {
  return Symbol.asyncDispose in transport;
}

/** Ending sessions wherever they are. */
import { createBackoff } from "@parley/platform/async/backoff";
import { sleep } from "@parley/platform/async/sleep";
import type { Logger } from "@parley/platform/telemetry/logger";
import { GIVE_UP_MS } from "./delivery-queue.ts";
import type { GatewayLinks } from "./gateway-links.ts";
import type { Located, SessionLocator } from "./session-locator.ts";

export type Revocation = AsyncDisposable & {
  /** Resolves when every gateway has confirmed, or was silent for GIVE_UP_MS and so counts as gone. */
  revoke(userId: string, deviceIds: readonly string[]): Promise<void>;
};

export type RevocationDependencies = {
  readonly locator: Pick<SessionLocator, "locate">;
  readonly links: Pick<GatewayLinks, "get">;
  readonly log: Logger;
};

const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1000;

export function createRevocation({ locator, links, log }: RevocationDependencies): Revocation {
  const disposed = new AbortController();

  const endOn = async (gateway: Located, userId: string, deviceIds: readonly string[]) => {
    const startMs = performance.now();
    const backoff = createBackoff({ initialMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
    for (;;) {
      const leftMs = GIVE_UP_MS - (performance.now() - startMs);
      if (leftMs <= 0) return;
      try {
        await links.get(gateway).endSessions(userId, deviceIds, leftMs);
        return;
      } catch (error) {
        // A session that lives on nevertheless is found by its gateway, which asks the directory each minute.
        const { gatewayId } = gateway;
        log.warn({ gateway_id: gatewayId, error }, "A gateway did not end sessions; repeating.");
      }
      await sleep(Math.min(backoff.next(), leftMs), disposed.signal);
    }
  };

  return {
    async revoke(userId, deviceIds) {
      const located = await locator.locate([userId]);
      await Promise.all(located.map((gateway) => endOn(gateway, userId, deviceIds)));
    },
    async [Symbol.asyncDispose]() {
      disposed.abort();
    },
  };
}

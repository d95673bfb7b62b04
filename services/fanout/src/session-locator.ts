/** Finding the gateways of people's sessions, with as few calls to the registry as can be. */
import type { Client } from "@connectrpc/connect";
import type {
  GatewaySessions,
  SessionRegistryService,
} from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { type Backoff, createBackoff } from "@parley/platform/async/backoff";
import { sleep } from "@parley/platform/async/sleep";
import type { Logger } from "@parley/platform/telemetry/logger";

export type Located = Pick<GatewaySessions, "gatewayId" | "gatewayAddress" | "userIds">;

export type SessionLocator = AsyncDisposable & {
  /**
   * The gateways that hold sessions of these people (1 to 1,000), asked after this call. While the registry
   * does not answer it is asked again and again: an event must not get lost because presence restarts.
   * Rejects only when the locator is disposed of.
   */
  locate(userIds: readonly string[]): Promise<readonly Located[]>;
};

export type SessionLocatorOptions = {
  readonly registry: Pick<Client<typeof SessionRegistryService>, "lookUpSessions">;
  readonly log: Logger;
};

/** Look-ups of few people are put together: in 1:1 chats the call would cost more than the look-up. */
const TOGETHER_USERS_MAX = 8;
/** The contract's bound on one look-up. */
const USERS_PER_CALL_MAX = 1000;

const RETRY_MIN_MS = 20;
const RETRY_MAX_MS = 1000;

type Waiting = {
  readonly userIds: readonly string[];
  resolve(located: readonly Located[]): void;
  reject(error: unknown): void;
};

export function createSessionLocator(options: SessionLocatorOptions): SessionLocator {
  const { registry, log } = options;
  const disposed = new AbortController();
  let waiting: Waiting[] = [];
  let waitingUsers = 0;

  const ask = async (userIds: readonly string[]): Promise<readonly Located[]> => {
    let backoff: Backoff | undefined;
    for (;;) {
      disposed.signal.throwIfAborted();
      try {
        // The list is only read: no copy for what is the largest argument of the hottest call.
        const { gateways } = await registry.lookUpSessions({ userIds: userIds as string[] });
        return gateways;
      } catch (error) {
        log.warn({ error }, "The session registry did not answer; asking again.");
      }
      backoff ??= createBackoff({ initialMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
      await sleep(backoff.next(), disposed.signal);
    }
  };

  const flush = () => {
    const together = waiting;
    waiting = [];
    waitingUsers = 0;
    if (together.length === 0) return;
    const userIds = [...new Set(together.flatMap((one) => one.userIds))];
    ask(userIds).then(
      (gateways) => distribute(together, gateways),
      (error: unknown) => {
        for (const { reject } of together) reject(error);
      },
    );
  };

  return {
    locate(userIds) {
      if (userIds.length > TOGETHER_USERS_MAX) return ask(userIds);
      if (waitingUsers + userIds.length > USERS_PER_CALL_MAX) flush();
      if (waiting.length === 0) setImmediate(flush);
      waitingUsers += userIds.length;
      return new Promise((resolve, reject) => waiting.push({ userIds, resolve, reject }));
    },
    async [Symbol.asyncDispose]() {
      disposed.abort();
      flush();
    },
  };
}

function distribute(together: readonly Waiting[], gateways: readonly Located[]): void {
  if (together.length === 1 || gateways.length === 0) {
    for (const { resolve } of together) resolve(gateways);
    return;
  }
  const byUser = new Map<string, Located[]>();
  for (const gateway of gateways) {
    for (const userId of gateway.userIds) {
      const known = byUser.get(userId);
      if (known === undefined) byUser.set(userId, [gateway]);
      else known.push(gateway);
    }
  }
  for (const { userIds, resolve } of together) resolve(pick(userIds, byUser));
}

function pick(
  userIds: readonly string[],
  byUser: ReadonlyMap<string, readonly Located[]>,
): readonly Located[] {
  const picked: Located[] = [];
  for (const userId of userIds) {
    for (const { gatewayId, gatewayAddress } of byUser.get(userId) ?? []) {
      const known = picked.find((one) => one.gatewayId === gatewayId);
      if (known === undefined) picked.push({ gatewayId, gatewayAddress, userIds: [userId] });
      else if (!known.userIds.includes(userId)) known.userIds.push(userId);
    }
  }
  return picked;
}

/** The one stream to the session registry over which this gateway watches people's presence. */
import type { Client } from "@connectrpc/connect";
import type {
  SessionRegistryService,
  WatchPresenceRequest,
} from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import type { Presence } from "@parley/gen/parley/presence/v1/presence_pb";
import { createBackoff } from "@parley/platform/async/backoff";
import { sleep } from "@parley/platform/async/sleep";
import type { Logger } from "@parley/platform/telemetry/logger";

export type PresenceStream = AsyncDisposable & {
  /** Watches a person from now on; their present state follows. */
  add(userId: string): void;
  remove(userId: string): void;
};

export type PresenceStreamOptions = {
  readonly registry: Pick<Client<typeof SessionRegistryService>, "watchPresence">;
  readonly gatewayId: string;
  readonly log: Logger;
  readonly onPresence: (presence: Presence) => void;
  /** Everybody who is watched now; asked when the stream is opened again. */
  readonly watched: () => Iterable<string>;
};

/** People of one request, as the contract says. */
const PEOPLE_PER_REQUEST_MAX = 1000;
const RECONNECT_INITIAL_MS = 100;
const RECONNECT_MAX_MS = 5000;

/** Creates the stream, which is opened by the first `add` and again whenever it is lost. */
export function createPresenceStream(options: PresenceStreamOptions): PresenceStream {
  const { registry, gatewayId, log, onPresence, watched } = options;
  const disposed = new AbortController();
  // One wish per person, the last one: bounded by the people who are watched.
  let wishes = new Map<string, "add" | "remove">();
  let wake = Promise.withResolvers<void>();
  let running: Promise<void> | undefined;

  const wish = (userId: string, what: "add" | "remove") => {
    wishes.set(userId, what);
    wake.resolve();
  };

  const take = (): Pick<WatchPresenceRequest, "addedUserIds" | "removedUserIds"> => {
    const addedUserIds: string[] = [];
    const removedUserIds: string[] = [];
    for (const [userId, what] of wishes) {
      const list = what === "add" ? addedUserIds : removedUserIds;
      if (list.length === PEOPLE_PER_REQUEST_MAX) break;
      list.push(userId);
      wishes.delete(userId);
    }
    return { addedUserIds, removedUserIds };
  };

  async function* requests(stopped: AbortSignal) {
    while (!stopped.aborted) {
      if (wishes.size > 0) {
        // Wishes of one turn of the event loop travel together.
        await new Promise((next) => setImmediate(next));
        yield { gatewayId, ...take() };
        continue;
      }
      await wake.promise;
      wake = Promise.withResolvers<void>();
    }
  }

  const runOnce = async (onResponse: () => void) => {
    wishes = new Map([...watched()].map((userId) => [userId, "add"]));
    const ended = new AbortController();
    const signal = AbortSignal.any([disposed.signal, ended.signal]);
    signal.addEventListener("abort", () => wake.resolve(), { once: true });
    try {
      const responses = registry.watchPresence(requests(signal), { signal });
      for await (const { presences } of responses) {
        onResponse();
        for (const presence of presences) onPresence(presence);
      }
    } finally {
      ended.abort();
    }
  };

  const run = async () => {
    const backoff = createBackoff({ initialMs: RECONNECT_INITIAL_MS, maxMs: RECONNECT_MAX_MS });
    while (!disposed.signal.aborted) {
      try {
        await runOnce(() => backoff.reset());
      } catch (error) {
        if (!disposed.signal.aborted) log.warn({ error }, "The presence stream was lost.");
      }
      await sleep(backoff.next(), disposed.signal).catch(() => undefined);
    }
  };

  return {
    add(userId) {
      wish(userId, "add");
      if (!disposed.signal.aborted) running ??= run();
    },
    remove: (userId) => wish(userId, "remove"),
    async [Symbol.asyncDispose]() {
      disposed.abort();
      await running;
    },
  };
}

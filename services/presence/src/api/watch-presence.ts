import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  SessionRegistryService,
  WatchPresenceRequest,
} from "@parley/gen/parley/internal/presence/v1/session_registry_service_pb";
import { createDeferred } from "@parley/platform/async/deferred";
import { resourceExhausted } from "@parley/platform/errors";
import type { PresenceState } from "../domain/presence-rules.ts";
import type { PresenceWatch, SessionRegistry } from "../ports.ts";
import { toPresence } from "./to-presence.ts";

type Dependencies = {
  readonly registry: Pick<SessionRegistry, "watch">;
  /** Ends every stream when it aborts. */
  readonly stopSignal: AbortSignal;
};

/** States in one answer: a page of presence, small enough to be written at once. */
const STATES_PER_ANSWER_MAX = 500;

/** People one gateway watches: more than ten thousand sessions with distinct contacts need. */
const WATCHED_USERS_MAX = 1_000_000;

/**
 * Serves one gateway's watch. What is not yet sent is held as one state per person, the newest: a gateway
 * that reads slowly skips states and never falls behind by more than the set that it watches.
 */
export function createWatchPresence({
  registry,
  stopSignal,
}: Dependencies): ServiceImpl<typeof SessionRegistryService>["watchPresence"] {
  return async function* watchPresence(requests, context) {
    const outbox = createOutbox();
    using watch = registry.watch(outbox.put);
    using _ending = endWith(outbox, [context.signal, stopSignal]);
    const reading = readRequests(requests, watch, outbox);
    reading.catch(() => undefined);
    for (;;) {
      const states = outbox.take(STATES_PER_ANSWER_MAX);
      if (states.length > 0) yield { presences: states.map(toPresence) };
      else if (outbox.ended) break;
      else await outbox.wait();
    }
    // The caller has gone, or this service goes: who is still reading would wait for nobody.
    if (!stopSignal.aborted) await reading;
  };
}

async function readRequests(
  requests: AsyncIterable<WatchPresenceRequest>,
  watch: PresenceWatch,
  outbox: Outbox,
): Promise<void> {
  try {
    for await (const { addedUserIds, removedUserIds } of requests) {
      watch.remove(removedUserIds);
      for (const userId of removedUserIds) outbox.drop(userId);
      if (watch.size + addedUserIds.length > WATCHED_USERS_MAX) {
        throw resourceExhausted("TOO_MANY_WATCHED", "This gateway watches too many people.");
      }
      if (addedUserIds.length > 0) await watch.add(addedUserIds);
    }
  } finally {
    outbox.end();
  }
}

type Outbox = {
  readonly put: (state: PresenceState) => void;
  drop(userId: string): void;
  take(max: number): PresenceState[];
  /** Resolves when there is something to take, or at the end. */
  wait(): Promise<void>;
  end(): void;
  readonly ended: boolean;
};

function createOutbox(): Outbox {
  const waiting = new Map<string, PresenceState>();
  let news = createDeferred<void>();
  let ended = false;
  return {
    put(state) {
      waiting.set(state.userId, state);
      news.resolve();
    },
    drop: (userId) => void waiting.delete(userId),
    take(max) {
      const taken: PresenceState[] = [];
      for (const [userId, state] of waiting) {
        if (taken.length === max) break;
        waiting.delete(userId);
        taken.push(state);
      }
      return taken;
    },
    async wait() {
      if (waiting.size > 0 || ended) return;
      news = createDeferred();
      await news.promise;
    },
    end() {
      ended = true;
      news.resolve();
    },
    get ended() {
      return ended;
    },
  };
}

function endWith(outbox: Outbox, signals: readonly HandlerContext["signal"][]): Disposable {
  const onAbort = () => outbox.end();
  for (const signal of signals) {
    if (signal.aborted) outbox.end();
    signal.addEventListener("abort", onAbort, { once: true });
  }
  return {
    [Symbol.dispose]() {
      for (const signal of signals) signal.removeEventListener("abort", onAbort);
    },
  };
}

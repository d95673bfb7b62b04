/** Sessions that events passed by: those of the people whom fan-out names, or all that are here. */
import type { Client } from "@connectrpc/connect";
import type { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import { createBackoff } from "@parley/platform/async/backoff";
import { sleep } from "@parley/platform/async/sleep";
import type { Hub } from "../session/hub.ts";
import type { Session } from "../session/session.ts";

export type Missed = {
  /** Starts catch-up again for the sessions of these people. */
  people(userIds: readonly string[]): void;
  /**
   * Starts it again for every session. They read their inboxes some at a time, once fan-out answers, and what
   * is delivered meanwhile takes its place behind that.
   */
  everybody(): void;
};

export type MissedDependencies = {
  readonly hub: Pick<Hub, "sessions" | "draining"> & {
    readonly catchUps: Pick<Hub["catchUps"], "startAgain">;
  };
  readonly fanout: Pick<Client<typeof FanoutService>, "listInboxHeads">;
};

/**
 * Sessions that catch up at a time after a loss that nobody was named for. A page of the inbox each: what
 * fan-out, which may just have come back, answers beside its own work.
 */
export const SESSIONS_AT_ONCE_MAX = 64;
/** Pauses between questions to a fan-out that does not answer. */
const ASK_INITIAL_MS = 50;
const ASK_MAX_MS = 2000;

type Waiting = {
  readonly session: Session;
  /** Settles with the catch-up, and never rejects. */
  run(): Promise<void>;
};

export function createMissed(dependencies: MissedDependencies): Missed {
  const { hub, fanout } = dependencies;
  const waiting = new Set<Waiting>();
  let running = 0;
  let answering = false;

  /** Catch-up ends a session when fan-out does not answer it, so it begins when fan-out does. */
  const answered = async (session: Session) => {
    const backoff = createBackoff({ initialMs: ASK_INITIAL_MS, maxMs: ASK_MAX_MS });
    while (!answering && !session.ended) {
      try {
        await fanout.listInboxHeads({ userId: session.userId, pageSize: 1, pageToken: "" });
        answering = true;
      } catch {
        await sleep(backoff.next());
      }
    }
  };

  const work = async () => {
    for (const next of waiting) {
      waiting.delete(next);
      await answered(next.session);
      await next.run();
      // It left, or a part failed again.
      if (next.session.ended) answering = false;
    }
    running--;
  };

  const inTurn = (session: Session, catchUp: () => Promise<void>) =>
    new Promise<void>((resolve, reject) => {
      waiting.add({ session, run: () => catchUp().then(resolve, reject) });
      if (running >= SESSIONS_AT_ONCE_MAX) return;
      running++;
      void work();
    });

  return {
    people(userIds) {
      for (const userId of userIds) {
        for (const session of sessionsOf(hub, userId)) hub.catchUps.startAgain(session);
      }
    },
    everybody() {
      if (hub.draining) return;
      answering = false;
      for (const session of hub.sessions.all()) {
        hub.catchUps.startAgain(session, (catchUp) => inTurn(session, catchUp));
      }
    },
  };
}

function* sessionsOf({ sessions }: Pick<Hub, "sessions">, userId: string): Iterable<Session> {
  let session = sessions.firstOf(userId);
  while (session !== undefined) {
    const next = session.nextOfUser;
    yield session;
    session = next;
  }
}

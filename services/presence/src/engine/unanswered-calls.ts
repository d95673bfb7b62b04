/**
 * Calls that registered sessions without anybody having got their answer.
 *
 * A session that is new is named in the answer of the call that registered it, once. When that answer is lost,
 * the next call would find the session known, and its gateway would never hear that it had been missing. So
 * every session keeps the name of the call that registered it, and a repetition asks under the same name.
 */
import type { SessionRegistration } from "../ports.ts";

export type UnansweredCalls = {
  /** The call whose answer about a session was lost. */
  callOf(sessionId: string): string | undefined;
  answered(sessions: readonly Pick<SessionRegistration, "sessionId">[]): void;
  /** The first of several calls that failed is kept: it may be the one that registered the session. */
  failed(sessions: readonly Pick<SessionRegistration, "sessionId">[], call: string): void;
};

/** About 20 MB. The oldest are forgotten first: theirs are gateways that have not come back. */
const SESSIONS_MAX = 200_000;

export function createUnansweredCalls(): UnansweredCalls {
  const calls = new Map<string, string>();
  return {
    callOf: (sessionId) => calls.get(sessionId),
    answered(sessions) {
      if (calls.size === 0) return;
      for (const { sessionId } of sessions) calls.delete(sessionId);
    },
    failed(sessions, call) {
      for (const { sessionId } of sessions) {
        if (!calls.has(sessionId)) calls.set(sessionId, call);
        if (calls.size > SESSIONS_MAX) calls.delete(calls.keys().next().value ?? "");
      }
    },
  };
}

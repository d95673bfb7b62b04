/** Idle load: sessions that do nothing but live. */
import type { IdlePlan, IdleResult } from "./load-plan.ts";
import { keepAlive, openSessions } from "./load-session.ts";
import type { RawWebSocket } from "./raw-websocket.ts";

export type IdleLoad = {
  open(plan: IdlePlan): Promise<IdleResult>;
  release(): Promise<IdleResult>;
};

export function createIdleLoad(): IdleLoad {
  let sessions: RawWebSocket[] = [];
  let heartbeats: Disposable | undefined;
  let closed = 0;
  return {
    async open(plan) {
      const opened = await openSessions(plan.port, plan.tokens);
      for (const session of opened) {
        session.onFrame = () => {};
        session.onClose = () => {
          closed += 1;
        };
      }
      sessions = [...sessions, ...opened];
      heartbeats?.[Symbol.dispose]();
      heartbeats = keepAlive(sessions);
      return { open: sessions.length, closed };
    },
    async release() {
      heartbeats?.[Symbol.dispose]();
      const result = { open: sessions.length - closed, closed };
      for (const session of sessions) {
        session.onClose = undefined;
        session.close();
      }
      sessions = [];
      closed = 0;
      return result;
    },
  };
}

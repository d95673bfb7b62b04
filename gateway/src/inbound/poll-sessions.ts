/** Sessions that are polled, and what their requests cost on the wire. */
import type { WireBytes } from "../outbound/outlet.ts";
import type { PollOutlet } from "../outbound/poll-outlet.ts";
import type { Session } from "../session/session.ts";
import { currentMeter } from "./request-meter.ts";

export type PolledSession = {
  readonly session: Session;
  readonly outlet: PollOutlet;
  readonly wire: WireCounter;
};

/** Adds up the requests of one session. */
export class WireCounter {
  #bytesIn = 0;
  #bytesOut = 0;

  /** Counts the request that is being handled, once it is answered. */
  countRequest(): void {
    const meter = currentMeter();
    if (meter === undefined) return;
    meter.onFinished = ({ bytesIn, bytesOut }) => {
      this.#bytesIn += bytesIn;
      this.#bytesOut += bytesOut;
    };
  }

  total(): WireBytes {
    return { bytesIn: this.#bytesIn, bytesOut: this.#bytesOut };
  }
}

/** By session id; a session stays here after its end until its goodbye was fetched or nobody came for it. */
export class PollSessions {
  readonly #sessions = new Map<string, PolledSession>();

  get(sessionId: string): PolledSession | undefined {
    return this.#sessions.get(sessionId);
  }

  add(polled: PolledSession): void {
    this.#sessions.set(polled.session.id, polled);
  }

  remove(sessionId: string): void {
    this.#sessions.delete(sessionId);
  }
}

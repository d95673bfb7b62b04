/** The live sessions of this gateway, by id and by person. */
import type { Session } from "./session.ts";

export class SessionTable {
  readonly #byId = new Map<string, Session>();
  // The first session of each person; others hang behind it, oldest first, which costs nothing for the many
  // people who have one.
  readonly #byUser = new Map<string, Session>();

  get size(): number {
    return this.#byId.size;
  }

  all(): IterableIterator<Session> {
    return this.#byId.values();
  }

  get(sessionId: string): Session | undefined {
    return this.#byId.get(sessionId);
  }

  /** A person's first session; follow `nextOfUser`. */
  firstOf(userId: string): Session | undefined {
    return this.#byUser.get(userId);
  }

  /** A device's sessions, oldest first. */
  ofDevice(userId: string, deviceId: string): Session[] {
    const found: Session[] = [];
    for (let session = this.firstOf(userId); session !== undefined; session = session.nextOfUser) {
      if (session.deviceId === deviceId) found.push(session);
    }
    return found;
  }

  add(session: Session): void {
    this.#byId.set(session.id, session);
    let last = this.#byUser.get(session.userId);
    if (last === undefined) {
      this.#byUser.set(session.userId, session);
      return;
    }
    while (last.nextOfUser !== undefined) last = last.nextOfUser;
    last.nextOfUser = session;
  }

  remove(session: Session): boolean {
    if (!this.#byId.delete(session.id)) return false;
    const first = this.#byUser.get(session.userId);
    if (first === session) {
      if (session.nextOfUser === undefined) this.#byUser.delete(session.userId);
      else this.#byUser.set(session.userId, session.nextOfUser);
    } else {
      let before = first;
      while (before !== undefined && before.nextOfUser !== session) before = before.nextOfUser;
      if (before !== undefined) before.nextOfUser = session.nextOfUser;
    }
    return true;
  }
}

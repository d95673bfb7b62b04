/** Notices of how far people have come: at once where two talk, collected where many do. */
import type { Timer, TimerClock } from "@parley/platform/clock";
import { unavailable } from "@parley/platform/errors";
import type { Logger } from "@parley/platform/telemetry/logger";
import { type Deliverer, ephemeralEvent } from "./deliverer.ts";
import { receiptAudience } from "./domain/receipt-audience.ts";
import {
  encodeReceipt,
  isForNobody,
  mergeNotices,
  type ReceiptNotice,
  toldOf,
} from "./domain/receipt-notice.ts";
import type { InboxStore } from "./ports.ts";

export type Receipts = AsyncDisposable & {
  /**
   * Keeps the read position in the person's own inbox, tells their own sessions and the others. Resolves
   * when the position is durable. Notices themselves may get lost: positions are read again when a
   * conversation opens. Rejects with `UNAVAILABLE` / `INBOX_NOT_WRITABLE` when too much waits for the disk.
   */
  dispatch(notice: ReceiptNotice): Promise<void>;
  /** Sends what is being collected, and resolves when it is in the gateways' queues. */
  flush(): Promise<void>;
  /** Notices that are being collected. */
  readonly collected: number;
};

export type ReceiptsDependencies = {
  readonly store: Pick<InboxStore, "readConversation" | "write" | "full">;
  readonly deliverer: Pick<Deliverer, "deliver">;
  readonly clock: TimerClock;
  readonly log: Logger;
};

/** The contract: one notice per second, conversation and person. */
const COLLECT_MS = 1000;
/** How often is looked whose second is over. */
const LOOK_MS = 100;
/** Collected notices; above it the oldest goes out early. About 10 MB. */
const COLLECTED_MAX = 20_000;
/** Authors of one collected notice; a second of reading rarely passes more people's messages. */
const AUTHORS_MAX = 32;

type Collected = {
  notice: ReceiptNotice;
  readonly since: number;
  /** True when a notice in here is for all other members; false when they are for the authors. */
  everyone: boolean;
  readonly authorUserIds: Set<string>;
};

export function createReceipts(dependencies: ReceiptsDependencies): Receipts {
  return new ReceiptCollector(dependencies);
}

class ReceiptCollector implements Receipts {
  readonly #dependencies: ReceiptsDependencies;
  // Insertion order is order of age.
  readonly #collected = new Map<string, Collected>();
  #looks = 0;
  #timer: Timer | undefined;
  readonly #sending = new Set<Promise<void>>();

  constructor(dependencies: ReceiptsDependencies) {
    this.#dependencies = dependencies;
  }

  get collected(): number {
    return this.#collected.size;
  }

  async dispatch(notice: ReceiptNotice): Promise<void> {
    const { store } = this.#dependencies;
    const { conversationId, userId, readSeq, readUnreadOrdinal } = notice;
    // The person's device sends its position again; entries, which nobody sends again, keep the room.
    if (store.full) throw notWritable();
    const rows = [{ kind: "read", userId, readSeq, readUnreadOrdinal } as const];
    const { visible, durable } = store.write({ conversationId, rows });
    await visible;
    const conversation = await store.readConversation(conversationId);
    const audience = receiptAudience(conversation, notice);
    const direct = audience.kind === "direct" ? toldOf(notice, audience.userIds) : undefined;
    this.#send(notice, [userId, ...(direct?.all ?? [])], true);
    if (direct !== undefined) this.#send(notice, direct.delivered, false);
    else if (audience.kind === "members") this.#collect(notice, "");
    else if (audience.kind === "author") this.#collect(notice, audience.authorUserId);
    await durable;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.cancel();
    await this.flush();
  }

  async flush(): Promise<void> {
    for (const key of [...this.#collected.keys()]) this.#release(key);
    await Promise.all(this.#sending);
  }

  #collect(notice: ReceiptNotice, authorUserId: string): void {
    const key = `${notice.conversationId} ${notice.userId}`;
    const known = this.#collected.get(key);
    if (known !== undefined) {
      const told = addAuthor(known, authorUserId) ? notice : { ...notice, notShownUserIds: [] };
      known.notice = mergeNotices(known.notice, told);
      return;
    }
    if (isForNobody(notice)) return;
    if (this.#collected.size >= COLLECTED_MAX) {
      const [oldest] = this.#collected.keys();
      if (oldest !== undefined) this.#release(oldest);
    }
    const since = this.#looks;
    const collected = { notice, since, everyone: false, authorUserIds: new Set<string>() };
    addAuthor(collected, authorUserId);
    this.#collected.set(key, collected);
    this.#setTimer();
  }

  #setTimer(): void {
    this.#timer ??= this.#dependencies.clock.setTimer(LOOK_MS, () => {
      this.#timer = undefined;
      this.#looks++;
      for (const [key, { since }] of this.#collected) {
        if ((this.#looks - since) * LOOK_MS < COLLECT_MS) break;
        this.#release(key);
      }
      if (this.#collected.size > 0) this.#setTimer();
    });
  }

  #release(key: string): void {
    const collected = this.#collected.get(key);
    if (collected === undefined) return;
    this.#collected.delete(key);
    this.#track(this.#sendCollected(collected));
  }

  async #sendCollected({ notice, everyone, authorUserIds }: Collected): Promise<void> {
    const { conversationId, userId } = notice;
    const conversation = await this.#dependencies.store.readConversation(conversationId);
    // Who left within the second is not told any more.
    const members = (conversation?.members.userIds ?? []).filter((member) => member !== userId);
    const others = everyone ? members : members.filter((member) => authorUserIds.has(member));
    const { all, delivered } = toldOf(notice, others);
    await Promise.all([this.#deliver(notice, all, true), this.#deliver(notice, delivered, false)]);
  }

  #send(notice: ReceiptNotice, userIds: readonly string[], withRead: boolean): void {
    this.#track(this.#deliver(notice, userIds, withRead));
  }

  async #deliver(
    notice: ReceiptNotice,
    userIds: readonly string[],
    withRead: boolean,
  ): Promise<void> {
    if (userIds.length === 0) return;
    const events = [ephemeralEvent(encodeReceipt(notice, withRead))];
    await this.#dependencies.deliverer.deliver({ conversationId: "", events, userIds });
  }

  #track(sending: Promise<void>): void {
    const tracked = sending
      .catch((error: unknown) => {
        this.#dependencies.log.warn({ error }, "A receipt was not passed on.");
      })
      .finally(() => this.#sending.delete(tracked));
    this.#sending.add(tracked);
  }
}

/** The longest pause of the store between two attempts. */
const RETRY_AFTER_MS = 5000;

function notWritable(): Error {
  const text = "The inboxes cannot be written at the moment.";
  return unavailable("INBOX_NOT_WRITABLE", text, { retryAfterMs: RETRY_AFTER_MS });
}

/** Notes one more author, or everybody; false if there is no room for one more. */
function addAuthor(collected: Collected, authorUserId: string): boolean {
  const { authorUserIds } = collected;
  if (authorUserId === "") collected.everyone = true;
  else if (authorUserIds.size < AUTHORS_MAX) authorUserIds.add(authorUserId);
  return authorUserId === "" || authorUserIds.has(authorUserId);
}

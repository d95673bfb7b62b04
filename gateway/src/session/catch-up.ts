/** Sends a session what it missed: from the inbox and the timelines, as fast as its client reads. */
import type { Client } from "@connectrpc/connect";
import type {
  FanoutService,
  InboxHead,
} from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import type { TimelineService } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { createBackoff } from "@parley/platform/async/backoff";
import { sleep } from "@parley/platform/async/sleep";
import type { Clock } from "@parley/platform/clock";
import type { DeviceCaller } from "@parley/platform/rpc/caller";
import type { ConversationModes } from "../inbound/conversation-modes.ts";
import { EventFrame } from "../outbound/event-frame.ts";
import type { ByteBudget } from "./byte-budget.ts";
import { CatchUpFindings, type CatchUpResult } from "./catch-up-findings.ts";
import { dependsOnMode, planHead } from "./catch-up-plan.ts";
import { type CatchUpWork, type Divergence, ENTRIES_PER_READ_MAX } from "./catch-up-work.ts";
import { CATCH_UP_STALL_MS_MAX, SESSION_POSITIONS_MAX } from "./limits.ts";
import { PositionChecks } from "./position-checks.ts";
import type { Session } from "./session.ts";

export type CatchUpDependencies = {
  readonly fanout: Pick<Client<typeof FanoutService>, "listInboxHeads">;
  readonly timeline: Pick<Client<typeof TimelineService>, "readRanges">;
  readonly modes: ConversationModes;
  readonly budget: ByteBudget;
  readonly clock: Clock;
  /** The newest `seq` that somebody may read of a conversation; 0 if nothing. */
  readonly newestSeq: (conversationId: string, caller: DeviceCaller) => Promise<number>;
  /** Told how many entries were handed to a session. */
  readonly onEntries: (count: number) => void;
};

export type CatchUpRequest = {
  /** How far the device says it has each conversation; empty when the session's own positions count. */
  readonly claimed: ReadonlyMap<string, number>;
  /** The ids of the entries there, where the device says them. */
  readonly messageIds: ReadonlyMap<string, bigint>;
  /** Entries to send at most where some may be left out; infinite to leave nothing out. */
  readonly messagesMax: number;
};

/** Heads of one page: the contract's maximum. */
const HEADS_PER_PAGE = 1000;
/** Modes that are asked for at a time. */
const MODES_AT_ONCE_MAX = 16;
/** A part that restarts is back after some of these; then the client reconnects, perhaps to another gateway. */
const READ_ATTEMPTS_MAX = 4;
const RETRY_INITIAL_MS = 100;
const RETRY_MAX_MS = 2000;
/** Entries handed out before others get a turn of the event loop. */
const ENTRIES_PER_TURN_MAX = 500;

/**
 * Runs until nothing is missing, then calls `onCaughtUp` in the same turn in which it found that out, so that
 * no live event falls between. Returns without calling it when the session ended. Rejects when a part did not
 * answer repeatedly.
 */
export async function runCatchUp(
  session: Session,
  work: CatchUpWork,
  request: CatchUpRequest,
  dependencies: CatchUpDependencies,
  onCaughtUp: (result: CatchUpResult) => void,
): Promise<void> {
  const { budget } = dependencies;
  const run = new CatchUpRun(session, work, request, dependencies);
  try {
    while (!session.ended) {
      if (work.headsWanted) await run.readHeads();
      run.admit();
      if (work.finished) {
        onCaughtUp(run.findings.result());
        return;
      }
      const ranges = work.ranges();
      if (ranges.length > 0 && !(budget.full && work.bufferedBytes > 0)) await run.read(ranges);
      else await run.handOut();
    }
  } finally {
    run.release();
  }
}

class CatchUpRun {
  readonly findings = new CatchUpFindings();
  readonly #session: Session;
  readonly #work: CatchUpWork;
  readonly #request: CatchUpRequest;
  readonly #dependencies: CatchUpDependencies;
  readonly #checks: PositionChecks;
  #heads = 0;
  #budgeted = 0;

  constructor(
    session: Session,
    work: CatchUpWork,
    request: CatchUpRequest,
    dependencies: CatchUpDependencies,
  ) {
    this.#session = session;
    this.#work = work;
    this.#request = request;
    this.#checks = new PositionChecks(request.claimed, request.messageIds);
    this.#dependencies = dependencies;
  }

  /** Plans every conversation of the inbox, page by page, and then those that only the device knows. */
  async readHeads(): Promise<void> {
    // Taken back before the first page is read: who asks again meanwhile wants it read again.
    this.#work.headsWanted = false;
    this.#heads = 0;
    let pageToken = "";
    do {
      const { heads, nextPageToken } = await this.#retry(() =>
        this.#dependencies.fanout.listInboxHeads({
          userId: this.#session.userId,
          pageSize: HEADS_PER_PAGE,
          pageToken,
        }),
      );
      if (this.#session.ended) return;
      const readable = await this.#askModes(heads);
      for (const head of heads) this.#plan(head, readable.has(head.conversationId));
      pageToken = nextPageToken;
    } while (pageToken !== "" && !this.#session.ended);
    for (const [conversationId, check] of this.#checks.rest()) {
      this.#work.add(conversationId, { afterSeq: check.seq, targetSeq: check.seq, check });
    }
  }

  admit(): void {
    this.#work.admit(
      (conversationId, raisedSeq) => this.#afterOf(conversationId, raisedSeq),
      (conversationId, seq) => this.#advance(conversationId, seq),
    );
  }

  async read(ranges: ReturnType<CatchUpWork["ranges"]>): Promise<void> {
    const { budget, timeline } = this.#dependencies;
    if (this.#work.bufferedBytes === 0) await budget.room();
    if (this.#session.ended) return;
    const { userId } = this.#session;
    const diverged: Divergence[] = [];
    await this.#retry(async () => {
      const request = { userId, ranges, entriesMax: ENTRIES_PER_READ_MAX };
      const { slices } = await timeline.readRanges(request);
      if (!this.#work.accept(slices, (one) => diverged.push(one)))
        throw new Error("a timeline was read and did not get further");
    });
    for (const one of diverged) await this.#diverge(one);
    this.#budget();
  }

  /** Hands entries out until one of the conversations has to be read again, or the client does not follow. */
  async handOut(): Promise<void> {
    const { budget, modes, onEntries } = this.#dependencies;
    const session = this.#session;
    let count = 0;
    for (;;) {
      const entry = this.#work.take(budget.full);
      if (entry === undefined) break;
      const { conversationId, seq } = entry;
      if (session.json && modes.peek(conversationId) === undefined) {
        await modes.isServerReadable(conversationId, session.caller);
      }
      if (!session.outlet.writable) await this.#writable();
      if (session.ended) return;
      this.#advance(conversationId, seq);
      const frame = new EventFrame(entry.event, conversationId, seq);
      // The mode was asked for above; who could not tell is not asked again for each entry.
      if (session.json) frame.decode(modes.peek(conversationId) === true);
      if (!session.outlet.event(frame)) throw new Error("a writable session took no entry");
      count++;
      if (count % ENTRIES_PER_TURN_MAX === 0) await new Promise((next) => setImmediate(next));
    }
    onEntries(count);
    this.#budget();
  }

  release(): void {
    this.#dependencies.budget.release(this.#budgeted);
    this.#budgeted = 0;
  }

  /** Tells the budget what is held now. */
  #budget(): void {
    const { budget } = this.#dependencies;
    const bytes = this.#work.bufferedBytes;
    if (bytes >= this.#budgeted) budget.add(bytes - this.#budgeted);
    else budget.release(this.#budgeted - bytes);
    this.#budgeted = bytes;
  }

  #writable(): Promise<void> {
    const session = this.#session;
    return new Promise((resolve) => {
      session.deadlineMs = this.#dependencies.clock.monotoneMs() + CATCH_UP_STALL_MS_MAX;
      session.outlet.onWritable = () => {
        session.deadlineMs = 0;
        resolve();
      };
    });
  }

  #plan(head: InboxHead, serverReadable: boolean): void {
    const { conversationId, lastMessageId } = head;
    const toPlan = this.#toPlan(head);
    const { lastSeq, positionSeq } = toPlan;
    const check = this.#checks.of(head);
    this.#heads++;
    if (this.findings.hasDiverged(conversationId)) {
      this.#work.raise(conversationId, lastSeq);
      return;
    }
    if (this.#heads > SESSION_POSITIONS_MAX) {
      if (lastSeq > positionSeq) this.findings.skip(conversationId, positionSeq + 1, lastSeq);
      return;
    }
    const { afterSeq, skipped } = planHead({ ...toPlan, serverReadable });
    if (skipped !== undefined)
      this.findings.skip(conversationId, skipped.firstSeq, skipped.lastSeq);
    this.#advance(conversationId, afterSeq);
    // A device that is ahead of its inbox misses nothing up to where it is, once that is confirmed.
    const fromSeq = Math.max(afterSeq, check?.seq ?? 0);
    const targetSeq = Math.max(fromSeq, lastSeq);
    this.#work.add(conversationId, { afterSeq: fromSeq, targetSeq, lastMessageId, check });
  }

  async #diverge({ conversationId, check, verdict, storedSeq }: Divergence): Promise<void> {
    const session = this.#session;
    let lastSeq = storedSeq;
    if (check.headSeq === undefined && verdict === "other" && !session.ended) {
      const { newestSeq } = this.#dependencies;
      lastSeq = await this.#retry(() => newestSeq(conversationId, session.caller));
    }
    this.findings.diverge(conversationId, lastSeq);
    // The device reads up to there by itself; what comes after it is live.
    session.setPosition(conversationId, lastSeq);
  }

  #toPlan(head: InboxHead) {
    return {
      lastSeq: Number(head.lastSeq),
      firstSeq: Number(head.firstSeq),
      positionSeq: Math.min(this.#positionOf(head.conversationId) ?? 0, Number(head.lastSeq)),
      messagesMax: this.#request.messagesMax,
    };
  }

  /** The conversations of a page that a far-behind device may be sent less of. */
  async #askModes(heads: readonly InboxHead[]): Promise<Set<string>> {
    const { modes } = this.#dependencies;
    const readable = new Set<string>();
    const asked = heads.filter((head) => dependsOnMode(this.#toPlan(head)));
    for (let at = 0; at < asked.length; at += MODES_AT_ONCE_MAX) {
      const some = asked.slice(at, at + MODES_AT_ONCE_MAX);
      await Promise.all(
        some.map(async ({ conversationId }) => {
          if (await modes.isServerReadable(conversationId, this.#session.caller)) {
            readable.add(conversationId);
          }
        }),
      );
    }
    return readable;
  }

  #positionOf(conversationId: string): number | undefined {
    return this.#session.position(conversationId) ?? this.#request.claimed.get(conversationId);
  }

  /** Where a conversation begins that was not in the inbox when it was read: it is new. */
  #afterOf(conversationId: string, raisedSeq: number): number {
    const newest = Number.isFinite(this.#request.messagesMax)
      ? this.#request.messagesMax
      : raisedSeq;
    return this.#positionOf(conversationId) ?? Math.max(0, raisedSeq - newest);
  }

  #advance(conversationId: string, seq: number): void {
    const known = this.#session.position(conversationId);
    if (known === undefined || known < seq) this.#session.setPosition(conversationId, seq);
  }

  async #retry<T>(attempt: () => Promise<T>): Promise<T> {
    const backoff = createBackoff({ initialMs: RETRY_INITIAL_MS, maxMs: RETRY_MAX_MS });
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (this.#session.ended || backoff.attempts + 1 >= READ_ATTEMPTS_MAX) throw error;
        await sleep(backoff.next());
      }
    }
  }
}

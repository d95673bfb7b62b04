/** Tells the server how far messages were delivered and read, as rarely as that allows. */
import type { TimelineStore } from "../sync/timeline-store.ts";

/** Receipts under way at a time; after a long absence every conversation has something to tell. */
const UNDER_WAY_MAX = 8;
/** Pause before a failed receipt is repeated while the session lasts. */
const RETRY_MS = 2_000;

export type ReceiptsDependencies = {
  readonly store: Pick<TimelineStore, "timeline" | "putReadState" | "conversationIds">;
  /** Sends positions; resolves when the server has them. */
  readonly update: (receipt: {
    readonly conversationId: string;
    readonly deliveredSeq: bigint;
    readonly readSeq: bigint;
  }) => Promise<void>;
  readonly isOnline: () => boolean;
  /** At most one receipt per conversation in this time; the first after a quiet time goes at once. */
  readonly intervalMs: number;
  readonly now: () => number;
};

export type Receipts = {
  /** The conversation's position moved: what lies below it is on this device. */
  delivered(conversationId: string): void;
  /** The person has seen everything up to `seq`. Positions never go back. */
  read(conversationId: string, seq: bigint): void;
  /** The server says how far this person has come, from this or another device. */
  confirmed(
    conversationId: string,
    positions: { readonly deliveredSeq: bigint; readonly readSeq: bigint },
  ): void;
  /** The conversation went back; what is on its way tells of entries that are gone. */
  onReplaced(conversationId: string): void;
  /** A session opened: sends again what was never confirmed. */
  onOnline(): void;
  close(): void;
};

export function createReceipts(dependencies: ReceiptsDependencies): Receipts {
  const { store, now, intervalMs } = dependencies;
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  const lastSentMs = new Map<string, number>();
  const waiting = new Set<string>();
  /** How often a conversation went back. */
  const replacements = new Map<string, number>();
  let underWay = 0;
  let closed = false;

  const wanted = (conversationId: string) => {
    const { position, readSeq, confirmedReadSeq, confirmedDeliveredSeq } =
      store.timeline(conversationId);
    const read = readSeq > confirmedReadSeq ? readSeq : 0n;
    const delivered = position > confirmedDeliveredSeq && position > read ? position : 0n;
    if (read === 0n && delivered === 0n) return undefined;
    return { conversationId, deliveredSeq: delivered, readSeq: read };
  };
  const plan = (conversationId: string, minMs = 0) => {
    if (closed || timers.has(conversationId) || !dependencies.isOnline()) return;
    const sinceMs = now() - (lastSentMs.get(conversationId) ?? Number.NEGATIVE_INFINITY);
    const waitMs = Math.max(minMs, intervalMs - sinceMs);
    const due = () => {
      timers.delete(conversationId);
      waiting.add(conversationId);
      send();
    };
    timers.set(conversationId, setTimeout(due, Math.max(0, Math.min(waitMs, 2 ** 31 - 1))));
  };
  const send = () => {
    while (underWay < UNDER_WAY_MAX) {
      const [conversationId] = waiting;
      if (conversationId === undefined) return;
      waiting.delete(conversationId);
      const receipt = wanted(conversationId);
      if (!receipt || closed || !dependencies.isOnline()) continue;
      lastSentMs.set(conversationId, now());
      underWay++;
      const replaced = replacements.get(conversationId);
      dependencies
        .update(receipt)
        .then(
          () => {
            if (replacements.get(conversationId) === replaced) confirm(conversationId, receipt);
          },
          () => plan(conversationId, RETRY_MS),
        )
        .finally(() => {
          underWay--;
          if (wanted(conversationId)) plan(conversationId);
          send();
        });
    }
  };
  const confirm: Receipts["confirmed"] = (conversationId, positions) => {
    const state = store.timeline(conversationId);
    const readSeq = max(state.readSeq, positions.readSeq);
    const confirmedReadSeq = max(state.confirmedReadSeq, positions.readSeq);
    const reached = max(positions.deliveredSeq, positions.readSeq);
    const confirmedDeliveredSeq = max(state.confirmedDeliveredSeq, reached);
    store.putReadState(conversationId, { readSeq, confirmedReadSeq, confirmedDeliveredSeq });
  };
  return {
    delivered(conversationId) {
      if (wanted(conversationId)) plan(conversationId);
    },
    read(conversationId, seq) {
      if (seq <= store.timeline(conversationId).readSeq) return;
      store.putReadState(conversationId, { readSeq: seq });
      plan(conversationId);
    },
    confirmed: confirm,
    onReplaced(conversationId) {
      replacements.set(conversationId, (replacements.get(conversationId) ?? 0) + 1);
    },
    onOnline() {
      for (const id of store.conversationIds()) if (wanted(id)) plan(id);
    },
    close() {
      closed = true;
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** Reads what is missing between a conversation's position and what waits behind it. */
import { Code } from "@connectrpc/connect";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";
import { sleep } from "../async/sleep.ts";
import { clientError, isTransient, type ParleyError, toParleyError } from "../errors.ts";
import type { ListMessages } from "./replacement.ts";
import { fillGap, forget, gapOf, type Timeline } from "./timeline.ts";

/** Gaps that are read at a time: after a long absence a client must not storm the server. */
const REPAIRS_MAX = 4;
/** Attempts per gap before the whole session is opened again. */
const REPAIR_ATTEMPTS_MAX = 5;
/** Pause after a failed attempt, times its number, in ms. */
const REPAIR_PAUSE_MS = 300;
/** What the contract returns in one page. */
const PAGE_ENTRIES_MAX = 200;

export type Repairable = { readonly id: string; readonly timeline: Timeline<Message> };

export type GapRepairs<C extends Repairable> = {
  /** Reads the conversation's gap after `graceMs`, if it is still there; does nothing if that is under way. */
  start(conversation: C, graceMs: number): void;
};

export function createGapRepairs<C extends Repairable>(dependencies: {
  readonly listMessages: ListMessages;
  /** True while something else decides what is missing in the conversation. */
  readonly isPaused: (conversationId: string) => boolean;
  /** The timeline may have entries to show. */
  readonly onRead: (conversation: C) => void;
  /** A gap could not be read; a new session decides what is missing. */
  readonly onHopeless: (error: ParleyError) => void;
  readonly signal: AbortSignal;
}): GapRepairs<C> {
  const { isPaused, onRead, onHopeless, signal } = dependencies;
  const waiting: C[] = [];
  const repairing = new Set<C>();
  let running = 0;

  const runNext = () => {
    while (running < REPAIRS_MAX) {
      const conversation = waiting.shift();
      if (!conversation) return;
      running++;
      void repair(conversation).then((error) => {
        running--;
        repairing.delete(conversation);
        runNext();
        if (signal.aborted) return;
        if (error) onHopeless(error);
        else onRead(conversation);
      });
    }
  };

  /**
   * Reads until nothing is missing, or until a new session catches up and takes over. Returns an error when
   * the gap stays.
   */
  const repair = async (conversation: C): Promise<ParleyError | undefined> => {
    const { timeline, id } = conversation;
    for (let failures = 0; ; ) {
      const gap = isPaused(id) ? undefined : gapOf(timeline);
      if (!gap || signal.aborted) return undefined;
      const before = timeline.position;
      const error = await readGap(conversation, gap.last - before);
      if (error?.code === Code.NotFound || error?.code === Code.PermissionDenied) {
        // Nothing of this conversation is readable any more; what waits will never be shown.
        forget(timeline);
        return undefined;
      }
      if (error && !isTransient(error)) return error;
      if (timeline.position > before) {
        failures = 0;
        continue;
      }
      if (++failures >= REPAIR_ATTEMPTS_MAX) {
        const text = `Entry ${gap.first} of conversation ${id} could not be read.`;
        return error ?? clientError(Code.DataLoss, "PROTOCOL", text);
      }
      await sleep(REPAIR_PAUSE_MS * failures, signal).catch(() => {});
    }
  };

  const readGap = async (conversation: C, missing: bigint): Promise<ParleyError | undefined> => {
    const { timeline, id: conversationId } = conversation;
    const fromSeq = timeline.position;
    const pageSize = missing < PAGE_ENTRIES_MAX ? Number(missing) : PAGE_ENTRIES_MAX;
    const direction = ReadDirection.NEWER;
    const request = { conversationId, fromSeq, direction, pageSize };
    try {
      const page = await dependencies.listMessages(request, signal);
      // Whoever decides now may go back behind the position that this was read after.
      if (isPaused(conversationId) || timeline.position < fromSeq) return undefined;
      // Live entries may have come meanwhile; what is known already is dropped again.
      fillGap(timeline, page.messages);
      onRead(conversation);
      return undefined;
    } catch (error) {
      return toParleyError(error);
    }
  };

  return {
    start(conversation, graceMs) {
      if (repairing.has(conversation)) return;
      repairing.add(conversation);
      const begin = () => {
        if (signal.aborted) return;
        waiting.push(conversation);
        runNext();
      };
      if (graceMs > 0) sleep(graceMs, signal).then(begin, () => {});
      else begin();
    },
  };
}

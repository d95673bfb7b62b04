/** The writes of each conversation, one round after the other; what waits meanwhile is one round. */
import { createDeferred, type Deferred } from "@parley/platform/async/deferred";
import { newerConversation } from "../domain/conversation.ts";
import type { RowChange } from "../domain/inbox-row.ts";
import type { InboxWrite } from "../ports.ts";

export type ConversationLanes = {
  /** Settles as the round does that it is part of. Calls for one conversation take effect in their order. */
  write(write: InboxWrite): Promise<void>;
  /** Heads and row changes that are not written. */
  readonly unwritten: number;
  /** Resolves when nothing is at work. */
  idle(): Promise<void>;
};

type Round = {
  conversation: InboxWrite["conversation"];
  readonly rows: RowChange[];
  readonly done: Deferred<void>;
};

type Lane = { next: Round | undefined };

/** `writeRound` writes what was collected; it is called again for a conversation when it has settled. */
export function createConversationLanes(
  writeRound: (round: InboxWrite) => Promise<void>,
): ConversationLanes {
  const lanes = new Map<string, Lane>();
  const running = new Set<Promise<void>>();
  let unwritten = 0;

  async function run(conversationId: string, lane: Lane): Promise<void> {
    for (let round = lane.next; round !== undefined; round = lane.next) {
      lane.next = undefined;
      const { conversation, rows, done } = round;
      const write = {
        conversationId,
        rows,
        ...(conversation === undefined ? {} : { conversation }),
      };
      await writeRound(write).then(done.resolve, done.reject);
      unwritten -= sizeOf(write);
    }
    lanes.delete(conversationId);
  }

  return {
    write(write) {
      const { conversationId } = write;
      const known = lanes.get(conversationId);
      const lane = known ?? { next: undefined };
      const before = lane.next === undefined ? 0 : sizeOf(lane.next);
      lane.next = merged(lane.next, write);
      unwritten += sizeOf(lane.next) - before;
      const { promise } = lane.next.done;
      if (known === undefined) {
        lanes.set(conversationId, lane);
        const work = run(conversationId, lane).finally(() => running.delete(work));
        running.add(work);
      }
      return promise;
    },
    get unwritten() {
      return unwritten;
    },
    async idle() {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

function merged(waiting: Round | undefined, { conversation, rows }: InboxWrite): Round {
  if (waiting === undefined) return { conversation, rows: [...rows], done: createDeferred() };
  waiting.rows.push(...rows);
  if (conversation !== undefined) {
    waiting.conversation = newerConversation(waiting.conversation, conversation);
  }
  return waiting;
}

function sizeOf({ conversation, rows }: Pick<InboxWrite, "conversation" | "rows"> | Round): number {
  return rows.length + (conversation === undefined ? 0 : 1);
}

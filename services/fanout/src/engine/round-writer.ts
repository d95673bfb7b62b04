/**
 * Writes one round of one conversation. There are no transactions across people and conversations, so what a
 * crash between two writes leaves has to be harmless:
 *
 * ```
 * 1  how far heads reach into the log  ∥  the rows, each person's at once
 * 2  head and members, in one write
 * ```
 *
 * - After some of step 1: the heads' end is ahead of the heads, and still within the log, which holds the entry.
 *   Joinings do not count before the head has come to them (`rowBeside`); a leaving counts at once, and the
 *   entry it names is in the message store already; a read position ahead of the head leaves nothing unread.
 * - Nothing of it is acknowledged, so the entries come again. Members go last: as long as they are the old ones,
 *   the changes are new ones to whoever plans the entries again, and all rows are written again.
 * - A round that takes effect late, by an instance that stood still, loses against what is newer, part by part.
 */
import { partitionOf } from "@parley/platform/log/partition";
import type { CassandraStatement } from "@parley/platform/storage/engine/cassandra";
import type { Conversation } from "../domain/conversation.ts";
import type { RowChange } from "../domain/inbox-row.ts";
import type { InboxWrite } from "../ports.ts";
import { headStatements, isUnknown, memberStatements, rowStatements } from "./inbox-statements.ts";
import type { LogPlaces } from "./log-places.ts";
import type { MembersCache } from "./members-cache.ts";

export type RoundWriter = {
  /** Resolves when all of it is there; rejects when none of its requests is under way any more. */
  write(round: InboxWrite): Promise<void>;
  /** Set once the store knows its log. */
  partitionCount: number | undefined;
};

export type RoundWriterDependencies = {
  readonly epochNumber: number;
  /** Several statements are of one partition. */
  readonly write: (...statements: readonly CassandraStatement[]) => Promise<void>;
  readonly places: Pick<LogPlaces, "raiseHeadsEnd">;
  readonly members: Pick<MembersCache, "holds" | "set">;
  readonly nowMs: () => number;
};

export function createRoundWriter(dependencies: RoundWriterDependencies): RoundWriter {
  const { epochNumber, write, places, members, nowMs } = dependencies;

  async function writeConversation(conversation: Conversation): Promise<void> {
    const { conversationId } = conversation;
    // Most entries change no members, and those of a large group are a thousand times the head.
    const held = members.holds(conversationId, conversation.members.version);
    await write(
      ...headStatements(epochNumber, conversation, nowMs()),
      ...(held ? [] : memberStatements(epochNumber, conversation)),
    );
    if (!held && !isUnknown(conversation.members)) {
      members.set(conversationId, conversation.members);
    }
  }

  const writeRows = (conversationId: string, rows: readonly RowChange[]) =>
    write(...rows.flatMap((row) => rowStatements(epochNumber, conversationId, row, nowMs())));

  return {
    partitionCount: undefined,
    async write({ conversationId, conversation, rows }) {
      const byPerson = Map.groupBy(rows, ({ userId }) => userId);
      const first = [...byPerson.values()].map((changes) => writeRows(conversationId, changes));
      if (conversation !== undefined && conversation.head.seq > 0n) {
        first.push(raiseHeadsEnd(places, conversation, this.partitionCount));
      }
      await all(first);
      if (conversation !== undefined) await writeConversation(conversation);
    },
  };
}

async function raiseHeadsEnd(
  places: RoundWriterDependencies["places"],
  { conversationId, head }: Conversation,
  partitionCount: number | undefined,
): Promise<void> {
  if (partitionCount === undefined) return;
  await places.raiseHeadsEnd(partitionOf(conversationId, partitionCount), Number(head.offset) + 1);
}

/** Waits for all, then rejects with the first reason: what was rejected is not still going on somewhere. */
async function all(writes: readonly Promise<void>[]): Promise<void> {
  const ends = await Promise.allSettled(writes);
  const failed = ends.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

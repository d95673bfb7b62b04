/**
 * Whether what a device has of its conversations is the history that the server has: a server that was put back
 * from an older copy gives the same places to other entries. Pure.
 */
import type { InboxHead } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import type { TimelineSlice } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";

/** What a device says of one conversation, to be held against the timeline. */
export type PositionCheck = {
  /** How far the device has it. */
  readonly seq: number;
  /** The id of the entry there. */
  readonly messageId: bigint;
  /** The newest place that the inbox knows; undefined if it does not list the conversation. */
  readonly headSeq: number | undefined;
};

export type Verdict =
  /** The same history, as far as can be told. */
  | "same"
  /** Another entry is there, or none. */
  | "other"
  /** The person may read nothing there, and the inbox knows of nothing there either. */
  | "nothing"
  /** This slice does not say. */
  | "open";

/**
 * What a slice says that was read from right before the checked entry. `first` if the slice's answer holds no
 * entry in front of it: then it did not end early for want of room.
 */
export function judge(
  check: PositionCheck,
  slice: Pick<TimelineSlice, "entries" | "readThroughSeq">,
  first: boolean,
): Verdict {
  const [entry] = slice.entries;
  if (entry !== undefined && Number(entry.seq) === check.seq) {
    return entry.messageId === check.messageId ? "same" : "other";
  }
  // A device is ahead of its inbox for a moment after it sent: its own answer comes first. The timeline has the
  // entry then.
  const ahead = check.headSeq === undefined || check.seq > check.headSeq;
  // What may not be read any more says nothing about what the device has.
  if (Number(slice.readThroughSeq) >= check.seq) return ahead ? "nothing" : "same";
  // The timeline ends in front of it. If the inbox says that it goes on, it is only being brought up to date.
  return ahead && first ? "other" : "open";
}

/** The checks of one session. Each conversation is checked once. */
export class PositionChecks {
  readonly #positions: ReadonlyMap<string, number>;
  readonly #messageIds: Map<string, bigint>;

  /** How far a device has its conversations, and the ids of the entries there, where it says them. */
  constructor(positions: ReadonlyMap<string, number>, messageIds: ReadonlyMap<string, bigint>) {
    this.#positions = positions;
    this.#messageIds = new Map(messageIds);
  }

  /** What has to be read to check a conversation of the inbox; undefined if nothing. */
  of({ conversationId, lastSeq, lastMessageId }: InboxHead): PositionCheck | undefined {
    const check = this.#take(conversationId, Number(lastSeq));
    const isNewest = check?.seq === check?.headSeq && check?.messageId === lastMessageId;
    return isNewest ? undefined : check;
  }

  /** The conversations that the inbox turned out not to list. */
  rest(): [string, PositionCheck][] {
    return [...this.#messageIds.keys()].flatMap((conversationId) => {
      const check = this.#take(conversationId, undefined);
      return check === undefined ? [] : [[conversationId, check]];
    });
  }

  #take(conversationId: string, headSeq: number | undefined): PositionCheck | undefined {
    const messageId = this.#messageIds.get(conversationId);
    const seq = this.#positions.get(conversationId);
    if (messageId === undefined || seq === undefined || seq === 0) return undefined;
    this.#messageIds.delete(conversationId);
    return { seq, messageId, headSeq };
  }
}

/**
 * What becomes of a conversation whose history on the server is another than here: how far both agree, what
 * only this device still has, and the newest entries of the server.
 *
 *     here      1 … 38  39  40  41' 42' 43'          lost: 41' 42' 43'
 *     server    1 … 38  39  40  41  42  …  97 98     kept: 40    skipped: 41 … 96    newest: 97 98
 */
import { Code } from "@connectrpc/connect";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import {
  type ListMessagesResponse,
  ReadDirection,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { toParleyError } from "../errors.ts";
import type { SeqRange } from "../storage/client-storage.ts";

/** What the contract returns in one page. */
const PAGE_ENTRIES_MAX = 200;
/** Pages that are compared: more than the entries that storages keep; what is older counts as replaced. */
const PAGES_MAX = 10;

export type Replacement = {
  /** The newest entry that the server has as it is here. */
  readonly kept: Message | undefined;
  /** Entries that only this device has, oldest first. */
  readonly lost: readonly Message[];
  /** The server's newest entries above `kept`, oldest first. */
  readonly newest: readonly Message[];
  /** What lies between `kept` and `newest` and was not read. */
  readonly skipped: SeqRange | undefined;
};

export type ListMessages = (
  request: {
    readonly conversationId: string;
    readonly fromSeq: bigint;
    readonly direction: ReadDirection;
    readonly pageSize: number;
  },
  signal: AbortSignal,
) => Promise<ListMessagesResponse>;

/** Compares what is stored here, oldest first, with the server. @throws ParleyError when it cannot be asked. */
export async function readReplacement(
  conversationId: string,
  stored: readonly Message[],
  { listMessages, signal }: { readonly listMessages: ListMessages; readonly signal: AbortSignal },
): Promise<Replacement> {
  const readOlder = async (fromSeq: bigint): Promise<Page> => {
    const direction = ReadDirection.OLDER;
    const request = { conversationId, fromSeq, direction, pageSize: PAGE_ENTRIES_MAX };
    try {
      const { messages, more } = await listMessages(request, signal);
      return { messages, more };
    } catch (caught) {
      const error = toParleyError(caught);
      const unreadable = error.code === Code.NotFound || error.code === Code.PermissionDenied;
      // The server has nothing of it, or nothing for this person.
      if (unreadable) return { messages: [], more: false };
      throw error;
    }
  };
  const first = await readOlder(0n);
  const kept = await findKept(stored, first, readOlder);
  const keptSeq = kept?.seq ?? 0n;
  const newest = [...first.messages].reverse().filter(({ seq }) => seq > keptSeq);
  const lowest = newest[0]?.seq ?? 0n;
  const reached = !first.more || newest.length < first.messages.length;
  return {
    kept,
    lost: stored.filter(({ seq }) => seq > keptSeq),
    newest,
    skipped:
      reached || lowest <= keptSeq + 1n ? undefined : { first: keptSeq + 1n, last: lowest - 1n },
  };
}

/** A page of the server's, newest first. */
type Page = { readonly messages: readonly Message[]; readonly more: boolean };

/** Histories that agree at one entry agree at all before it: the newest such entry is looked for. */
async function findKept(
  stored: readonly Message[],
  first: Page,
  readOlder: (fromSeq: bigint) => Promise<Page>,
): Promise<Message | undefined> {
  const here = new Map(stored.map(({ seq, messageId }) => [seq, messageId]));
  const lowestHere = stored[0]?.seq;
  const highestHere = stored.at(-1)?.seq;
  if (lowestHere === undefined || highestHere === undefined) return undefined;
  let page = first;
  for (let pages = 1; ; pages++) {
    const same = page.messages.find(({ seq, messageId }) => here.get(seq) === messageId);
    if (same) return same;
    const lowest = page.messages.at(-1)?.seq ?? 0n;
    if (!page.more || lowest <= lowestHere || pages === PAGES_MAX) return undefined;
    // What is above the entries here cannot be the same.
    page = await readOlder(lowest > highestHere ? highestHere + 1n : lowest);
  }
}

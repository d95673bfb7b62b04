/**
 * Pages of an inbox by newest entry, on a store in which nothing counts the writes of all instances.
 *
 * A list that is ordered by what keeps changing has a gap: an entry that moves up between two pages, past the
 * reader, would be on neither. So the reading has two phases.
 *
 * `newest`: downwards by message id. The token keeps a digest of what has been passed, which is everything at or
 * above it; when what is there now has another digest, something has come to be there since, and a second phase
 * follows. So an inbox that stands still is read once, whatever the clocks say.
 *
 * `moved`: what has moved since the first page, by conversation id. Whatever was missed moved past the reader
 * before the first phase ended, so it is in here from the beginning, at a place that does not change: one round
 * through the ids finds all of it, and ends. When something moved is what the clock of its writer said; the
 * margin covers that clocks differ, and the time that a write may take.
 */
import type { InboxItem } from "../domain/inbox-row.ts";
import { type InboxPageItem, PageTokenError } from "../ports.ts";

export type MovedItem = {
  readonly item: InboxItem;
  readonly movedTimeMs: number;
};

/** Clocks that are set by NTP differ by far less, and a write is given up, to be stamped again, within 12 s. */
const MOVED_MARGIN_MS = 60_000;

type Newest = {
  readonly phase: "newest";
  readonly sinceMs: number;
  /** Something has moved already. */
  readonly moved: boolean;
  readonly digest: number;
  /** Undefined on the first page. */
  readonly after: { readonly messageId: bigint; readonly conversationId: string } | undefined;
};

type Moved = {
  readonly phase: "moved";
  readonly sinceMs: number;
  readonly afterConversationId: string;
};

export type Cursor = Newest | Moved;

export type PageReader = {
  /** Shows the reader one item; all of them, each once, in any order. */
  see(moved: MovedItem): void;
  /** True when the first phase is over, and the page has to be read as one of the second. */
  readonly passedEverything: boolean;
  finish(): InboxPageItem[];
};

/** The cursor of a page token; of the first page if that is empty. Throws PageTokenError. */
export function decodeCursor(pageToken: string, nowMs: number): Cursor {
  if (pageToken === "") {
    return { phase: "newest", sinceMs: nowMs, moved: false, digest: 0, after: undefined };
  }
  const match = TOKEN.exec(Buffer.from(pageToken, "base64url").toString());
  if (match === null) throw new PageTokenError("not a page token of this inbox");
  const [, since, moved, digest, messageId, conversationId = "", movedSince, afterId = ""] = match;
  if (movedSince !== undefined) {
    return { phase: "moved", sinceMs: Number(movedSince), afterConversationId: afterId };
  }
  return {
    phase: "newest",
    sinceMs: Number(since),
    moved: moved === "1",
    digest: Number(digest),
    after: { messageId: BigInt(messageId ?? 0), conversationId },
  };
}

const TOKEN =
  /^(?:newest (\d{1,15}) ([01]) (\d{1,16}) (\d{1,20}) (\S{1,255})|moved since (\d{1,15}) after (\S{0,255}))$/;

/** The second phase of a reading whose first one is over. */
export function movedCursor({ sinceMs }: Cursor): Moved {
  return { phase: "moved", sinceMs, afterConversationId: "" };
}

/** Reads one page of the first phase out of a whole inbox. Keeps some pages of items, however many it sees. */
export function createNewestReader(cursor: Newest, limit: number): PageReader {
  // One more than the page, to know whether something follows. Cut when four pages have come together.
  const keepCount = limit + 1;
  let kept: InboxItem[] = [];
  let digest = 0;
  const moved = () => cursor.moved || digest !== cursor.digest;
  return {
    see({ item }) {
      if (!isBelow(item, cursor.after)) {
        digest += digestOf(item);
        return;
      }
      kept.push(item);
      if (kept.length >= keepCount * 4) kept = kept.sort(compareNewest).slice(0, keepCount);
    },
    get passedEverything() {
      return kept.length === 0 && moved();
    },
    finish() {
      const page = kept.sort(compareNewest).slice(0, limit);
      let passed = digest;
      return page.map((item, index) => {
        passed += digestOf(item);
        const isLast = index === page.length - 1 && kept.length <= limit;
        const nextPageToken = isLast
          ? moved()
            ? movedToken(movedCursor(cursor))
            : ""
          : newestToken({ ...cursor, moved: moved(), digest: passed }, item);
        return { ...item, nextPageToken };
      });
    },
  };
}

/** One page of the second phase, out of at most one item more than the page. */
export function toMovedPage(
  cursor: Moved,
  items: readonly InboxItem[],
  limit: number,
): InboxPageItem[] {
  return items.slice(0, limit).map((item, index) => {
    const isLast = index === items.length - 1;
    const token = movedToken({ ...cursor, afterConversationId: item.conversationId });
    return { ...item, nextPageToken: isLast ? "" : token };
  });
}

export function hasMovedSince({ sinceMs }: Moved, { movedTimeMs }: MovedItem): boolean {
  return movedTimeMs >= sinceMs - MOVED_MARGIN_MS;
}

function isBelow(item: InboxItem, after: Newest["after"]): boolean {
  if (after === undefined || item.lastMessageId < after.messageId) return true;
  return item.lastMessageId === after.messageId && item.conversationId > after.conversationId;
}

function compareNewest(a: InboxItem, b: InboxItem): number {
  if (a.lastMessageId !== b.lastMessageId) return a.lastMessageId > b.lastMessageId ? -1 : 1;
  return a.conversationId < b.conversationId ? -1 : 1;
}

/** FNV-1a of an item's place, 32 bits. Sums of a million of them are exact, and tell how many there are. */
function digestOf({ conversationId, lastMessageId }: InboxItem): number {
  const text = `${lastMessageId} ${conversationId}`;
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  return hash >>> 0;
}

function newestToken(cursor: Newest, { lastMessageId, conversationId }: InboxItem): string {
  const { sinceMs, moved, digest } = cursor;
  const place = `${lastMessageId} ${conversationId}`;
  return encode(`newest ${sinceMs} ${moved ? 1 : 0} ${digest} ${place}`);
}

function movedToken({ sinceMs, afterConversationId }: Moved): string {
  return encode(`moved since ${sinceMs} after ${afterConversationId}`);
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64url");
}

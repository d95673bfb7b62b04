/**
 * Pages of an inbox by newest entry.
 *
 * A list that is ordered by what keeps changing has a gap: an entry that moves up between two pages, past
 * the reader, would be on neither. So the reading has two phases. `newest`: downwards by message id; the
 * token keeps the number of the store's last write when the first page was read. `moved`: upwards by write
 * number, everything that was touched since, until nothing is left; what moves again moves ahead of the
 * reader.
 */
import type { InboxItem } from "../domain/inbox-row.ts";
import { type InboxPageItem, PageTokenError } from "../ports.ts";

export type TouchedItem = {
  readonly item: InboxItem;
  /** The store's write that moved it last. */
  readonly touch: bigint;
};

type Cursor =
  | {
      readonly phase: "newest";
      readonly since: bigint;
      /** Undefined on the first page. */
      readonly after: { readonly messageId: bigint; readonly conversationId: string } | undefined;
    }
  | { readonly phase: "moved"; readonly since: bigint };

export type PageReader = {
  /** Shows the reader one item of the inbox; all of them, in any order. */
  see(touched: TouchedItem): void;
  finish(): InboxPageItem[];
};

/** Reads one page out of a whole inbox. `lastTouch` is the store's last write before the reading began. */
export function createPageReader(pageToken: string, lastTouch: bigint, limit: number): PageReader {
  const cursor = pageToken === "" ? firstPage(lastTouch) : decodeCursor(pageToken);
  const compare = cursor.phase === "newest" ? compareNewest : compareTouch;
  const belongs = belongsAfter(cursor);
  // One more than the page, to know whether something follows. Cut when four pages have come together.
  const keepCount = limit + 1;
  let kept: TouchedItem[] = [];
  let moved = false;
  // When everything that was left moves past the reader, this page is the first of those that moved.
  const next = cursor.phase === "newest" && cursor.after !== undefined ? cursor.since : undefined;
  const rest = next === undefined ? undefined : createPageReader(movedToken(next), next, limit);
  return {
    see(touched) {
      moved ||= touched.touch > cursor.since;
      rest?.see(touched);
      if (!belongs(touched)) return;
      kept.push(touched);
      if (kept.length >= keepCount * 4) kept = kept.sort(compare).slice(0, keepCount);
    },
    finish() {
      if (kept.length === 0 && rest !== undefined) return rest.finish();
      const page = kept.sort(compare).slice(0, limit);
      const more = kept.length > limit;
      return page.map((touched, index) => {
        const last = index === page.length - 1 && !more;
        return { ...touched.item, nextPageToken: tokenAfter(cursor, touched, last, moved) };
      });
    },
  };
}

function firstPage(lastTouch: bigint): Cursor {
  return { phase: "newest", since: lastTouch, after: undefined };
}

function belongsAfter(cursor: Cursor): (touched: TouchedItem) => boolean {
  if (cursor.phase === "moved") return ({ touch }) => touch > cursor.since;
  const { after } = cursor;
  if (after === undefined) return () => true;
  return ({ item }) =>
    item.lastMessageId < after.messageId ||
    (item.lastMessageId === after.messageId && item.conversationId > after.conversationId);
}

function compareNewest({ item: a }: TouchedItem, { item: b }: TouchedItem): number {
  if (a.lastMessageId !== b.lastMessageId) return a.lastMessageId > b.lastMessageId ? -1 : 1;
  return a.conversationId < b.conversationId ? -1 : 1;
}

function compareTouch({ touch: a }: TouchedItem, { touch: b }: TouchedItem): number {
  return a < b ? -1 : 1;
}

function tokenAfter(cursor: Cursor, { item, touch }: TouchedItem, last: boolean, moved: boolean) {
  if (cursor.phase === "moved") return last ? "" : encodeToken(["moved", touch]);
  if (!last) {
    return encodeToken(["newest", cursor.since, item.lastMessageId, item.conversationId]);
  }
  return moved ? movedToken(cursor.since) : "";
}

function movedToken(since: bigint): string {
  return encodeToken(["moved", since]);
}

function encodeToken(parts: readonly (string | bigint)[]): string {
  return Buffer.from(parts.join(" ")).toString("base64url");
}

const TOKEN = /^(?:newest (\d{1,19}) (\d{1,19}) (\S{1,255})|moved (\d{1,19}))$/;

function decodeCursor(pageToken: string): Cursor {
  const text = Buffer.from(pageToken, "base64url").toString();
  const match = TOKEN.exec(text);
  if (match === null) throw new PageTokenError("not a page token of this inbox");
  const [, since, messageId, conversationId, movedSince] = match;
  if (movedSince !== undefined) return { phase: "moved", since: BigInt(movedSince) };
  return {
    phase: "newest",
    since: BigInt(since ?? 0),
    after: { messageId: BigInt(messageId ?? 0), conversationId: conversationId ?? "" },
  };
}

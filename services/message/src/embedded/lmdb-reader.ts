/** Reads single values: from the layers that are not committed yet, else from LMDB. */
import type {
  ConversationState,
  Member,
  StoredReceipt,
  StoredRow,
} from "../domain/conversation.ts";
import { type DedupeEntry, type DedupeKey, dedupeKeyText } from "../domain/dedupe.ts";
import type { Checkpoint } from "../ports.ts";
import type { GroupCommit } from "./group-commit.ts";
import {
  conversationKey,
  decodeCheckpoint,
  decodeDedupe,
  decodeHead,
  decodeMember,
  decodeReceipt,
  decodeRow,
  dedupeKey,
  partitionKey,
  personKey,
  rowKey,
  userIdOfPersonKey,
} from "./lmdb-layout.ts";
import type { Tables } from "./lmdb-tables.ts";
import type { LayerConversation } from "./overlay.ts";

/** Ends every range of keys that begin with something. */
export const AFTER_ALL = Buffer.alloc(512, 0xff);

const NO_MEMBERS: ReadonlyMap<string, Member> = new Map();

export class LmdbReader {
  readonly #tables: Tables;
  readonly #commits: Pick<GroupCommit, "layers">;

  constructor(tables: Tables, commits: Pick<GroupCommit, "layers">) {
    this.#tables = tables;
    this.#commits = commits;
  }

  /** True if the store has a later state of the conversation: the write comes from somebody who is late. */
  isStale(state: ConversationState): boolean {
    const known = this.#layered(state.conversationId, (held) => held.state);
    if (known !== undefined) return state.lastProcessedOffset < known.lastProcessedOffset;
    const head = this.#tables.heads.getBinary(conversationKey(state.conversationId));
    if (head === undefined) return false;
    const stored = decodeHead(state.conversationId, head, NO_MEMBERS);
    return state.lastProcessedOffset < stored.lastProcessedOffset;
  }

  /** The newest value that is not in LMDB yet. */
  #layered<T>(
    conversationId: string,
    pick: (held: LayerConversation) => T | undefined,
  ): T | undefined {
    for (const layer of this.#commits.layers) {
      const held = layer.conversations.get(conversationId);
      const value = held === undefined ? undefined : pick(held);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  row(conversationId: string, key: Buffer, seq: number): StoredRow | undefined {
    const layered = this.#layered(conversationId, (held) => held.rows.get(seq));
    if (layered !== undefined) return layered;
    const value = this.#tables.rows.getBinary(rowKey(key, seq));
    return value === undefined ? undefined : decodeRow(value);
  }

  receipt(conversationId: string, userId: string): StoredReceipt | undefined {
    const layered = this.#layered(conversationId, (held) => held.receipts.get(userId));
    if (layered !== undefined) return layered;
    const value = this.#tables.receipts.getBinary(
      personKey(conversationKey(conversationId), userId),
    );
    return value === undefined ? undefined : decodeReceipt(userId, value);
  }

  dedupe(key: DedupeKey): DedupeEntry | undefined {
    const text = dedupeKeyText(key);
    for (const layer of this.#commits.layers) {
      const entry = layer.dedupe.get(text);
      if (entry !== undefined) return entry;
    }
    const value = this.#tables.dedupe.getBinary(dedupeKey(key));
    return value === undefined ? undefined : decodeDedupe(key, value);
  }

  checkpoint(partition: number): Checkpoint | undefined {
    for (const layer of this.#commits.layers) {
      const checkpoint = layer.checkpoints.get(partition);
      if (checkpoint !== undefined) return checkpoint;
    }
    const value = this.#tables.checkpoints.getBinary(partitionKey(partition));
    return value === undefined ? undefined : decodeCheckpoint(value);
  }

  load(conversationId: string): ConversationState | undefined {
    const layered = this.#layered(conversationId, (held) => held.state);
    if (layered !== undefined) return layered;
    const key = conversationKey(conversationId);
    const head = this.#tables.heads.getBinary(key);
    if (head === undefined) return undefined;
    const members = new Map<string, Member>();
    const end = Buffer.concat([key, AFTER_ALL]);
    for (const { key: memberKey, value } of this.#tables.members.getRange({ start: key, end })) {
      members.set(userIdOfPersonKey(memberKey), decodeMember(value));
    }
    return decodeHead(conversationId, head, members);
  }
}

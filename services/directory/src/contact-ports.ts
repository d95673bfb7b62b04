/** What address books and blocks need from storage and from the conversation half. */
import type { Account } from "./domain/account.ts";

/** Somebody in a person's address book. */
export type ContactEntry = {
  readonly account: Account;
  readonly mutual: boolean;
  readonly createTimeMs: number;
};

/** Somebody whom a person blocks. */
export type BlockEntry = { readonly account: Account; readonly createTimeMs: number };

/** Where a page of contacts ended. */
export type ContactPlace = { readonly name: string; readonly userId: string };

/** Where a page of blocks ended. */
export type BlockPlace = { readonly createTimeMs: number; readonly userId: string };

/**
 * Contacts and blocks.
 *
 * Every writing call is one transaction that is durable when its promise resolves. It holds the lock of the
 * person whose book it is, so that a limit of 5,000 is never passed, however many calls come at once.
 */
export type ContactStore = {
  /** Adds a contact, or finds the one that is there. */
  addContact(
    userId: string,
    contactUserId: string,
    options: { readonly contactsMax: number; readonly nowMs: number },
  ): Promise<
    | { readonly kind: "added"; readonly contact: ContactEntry }
    | { readonly kind: "user-not-found" | "blocked" | "contact-limit" }
  >;

  /** Takes a contact out; does nothing if there is none. */
  removeContact(userId: string, contactUserId: string): Promise<void>;

  /** Contacts by folded display name, then id, after a place. The name of the last one's place is given. */
  listContacts(
    userId: string,
    page: { readonly after: ContactPlace | undefined; readonly limit: number },
  ): Promise<readonly (ContactEntry & { readonly place: ContactPlace })[]>;

  /**
   * Blocks a person and takes the contact entry out. Also writes that the direct conversation is to be told,
   * if the block is new.
   */
  blockUser(
    userId: string,
    blockedUserId: string,
    options: { readonly blocksMax: number; readonly nowMs: number },
  ): Promise<{ readonly kind: "blocked" | "user-not-found" | "block-limit" }>;

  /** Takes a block back; does nothing if there is none. Also writes that the conversation is to be told. */
  unblockUser(userId: string, blockedUserId: string): Promise<void>;

  /** Blocks, newest first, after a place. */
  listBlocks(
    userId: string,
    page: { readonly after: BlockPlace | undefined; readonly limit: number },
  ): Promise<readonly BlockEntry[]>;

  /** Those of the people who are contacts of the person and have the person as a contact. */
  filterMutualContacts(userId: string, userIds: readonly string[]): Promise<readonly string[]>;
};

/** A block, or the end of one, that the direct conversation of the two may not know of yet. */
export type PendingBlock = {
  readonly blockerUserId: string;
  readonly blockedUserId: string;
  /** Whether the block stands now. */
  readonly blocked: boolean;
  /** Names this change; a later change of the same block has another name. */
  readonly changeId: string;
};

/** Blocks on their way to conversations, written by the transactions of `ContactStore`. */
export type BlockOutbox = {
  /** Entries in no particular order. */
  listPendingBlocks(limit: number): Promise<readonly PendingBlock[]>;
  /** The entry of a pair; undefined when the conversation knows. */
  readPendingBlock(blockerUserId: string, blockedUserId: string): Promise<PendingBlock | undefined>;
  /** Forgets an entry, unless the block changed again meanwhile. Idempotent. */
  deletePendingBlock(block: PendingBlock): Promise<void>;
};

/** Makes blocks count in direct conversations. */
export type SendPermissions = {
  /**
   * Resolves when the direct conversation of the two, if there is one, acts on the block or its end. Called
   * after the change was committed. Rejects with `UNAVAILABLE` / `OUTCOME_UNKNOWN` when that takes too long;
   * it is then done later.
   */
  waitApplied(blockerUserId: string, blockedUserId: string): Promise<void>;
};

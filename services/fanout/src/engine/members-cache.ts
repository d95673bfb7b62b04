/** Members of the conversations that were used last, each with the version that says whether they still are. */
import type { Members } from "../domain/conversation.ts";

export type MembersCache = {
  /** The members, if they are known as of this version. Another process may have written newer ones since. */
  get(conversationId: string, version: bigint): Members | undefined;
  /** True when what is stored is of this version or a later one. */
  holds(conversationId: string, version: bigint): boolean;
  /** Notes members that were read, or were written. */
  set(conversationId: string, members: Members): void;
  /** Memberships held now. */
  readonly membershipCount: number;
};

/** Creates a cache of about `membershipsMax` memberships; what was not used for longest goes first. */
export function createMembersCache(membershipsMax: number): MembersCache {
  // Insertion order is order of use.
  const entries = new Map<string, Members>();
  let membershipCount = 0;

  const drop = (conversationId: string, members: Members) => {
    entries.delete(conversationId);
    membershipCount -= costOf(members);
  };

  return {
    get(conversationId, version) {
      const members = entries.get(conversationId);
      if (members?.version !== version) return undefined;
      entries.delete(conversationId);
      entries.set(conversationId, members);
      return members;
    },
    holds(conversationId, version) {
      const members = entries.get(conversationId);
      return members !== undefined && members.version >= version;
    },
    set(conversationId, members) {
      const known = entries.get(conversationId);
      if (known !== undefined) {
        if (known.version > members.version) return;
        drop(conversationId, known);
      }
      entries.set(conversationId, members);
      membershipCount += costOf(members);
      for (const [oldest, held] of entries) {
        if (membershipCount <= membershipsMax) break;
        drop(oldest, held);
      }
    },
    get membershipCount() {
      return membershipCount;
    },
  };
}

/** The entry itself weighs about as much as two memberships. */
function costOf({ present, departed }: Members): number {
  return 2 + present.length + departed.length;
}

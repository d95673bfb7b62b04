import type { PrivacyStore } from "../account-ports.ts";
import type { ContactStore } from "../contact-ports.ts";
import type { People } from "../conversation-ports.ts";
import { filterVisible } from "../domain/presence-filter.ts";
import type { DirectoryHandlers } from "./account-handler.ts";

type Deps = {
  readonly privacy: Pick<PrivacyStore, "readVisibilities">;
  readonly contacts: Pick<ContactStore, "filterMutualContacts">;
  readonly people: Pick<People, "blocksBetween">;
  /** Those of the people who are in the group, if the viewer is in it too; nobody otherwise. */
  readonly sharedMembers: (
    conversationId: string,
    viewerUserId: string,
    userIds: readonly string[],
  ) => Promise<readonly string[]>;
};

/** `DirectoryService.FilterVisiblePresence` */
export function createFilterVisiblePresence(
  deps: Deps,
): DirectoryHandlers["filterVisiblePresence"] {
  return async ({ viewerUserId, userIds, conversationId }) => {
    const [visibilities, mutual, members, blocks] = await Promise.all([
      deps.privacy.readVisibilities([viewerUserId, ...userIds]),
      deps.contacts.filterMutualContacts(viewerUserId, userIds),
      conversationId === "" ? [] : deps.sharedMembers(conversationId, viewerUserId, userIds),
      deps.people.blocksBetween(viewerUserId, userIds),
    ]);
    const visibleUserIds = filterVisible(userIds, {
      viewerVisibility: visibilities.get(viewerUserId),
      visibilities,
      mutualContacts: new Set(mutual),
      groupMembers: new Set(members),
      blocked: new Set(blocks.flatMap((block) => [block.blockerUserId, block.blockedUserId])),
    });
    return { visibleUserIds };
  };
}

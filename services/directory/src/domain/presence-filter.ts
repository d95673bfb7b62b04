/** Who may see whether a person is online. */
import { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";

export type PresenceFacts = {
  /** The viewer's own setting; undefined for somebody unknown. */
  readonly viewerVisibility: PresenceVisibility | undefined;
  /** The settings of the people to see; unknown people have none. */
  readonly visibilities: ReadonlyMap<string, PresenceVisibility>;
  /** Those who have the viewer as a contact, and whom the viewer has. */
  readonly mutualContacts: ReadonlySet<string>;
  /** Those who are with the viewer in the group on the viewer's screen. */
  readonly groupMembers: ReadonlySet<string>;
  /** Those whom the viewer blocks, or who block the viewer. */
  readonly blocked: ReadonlySet<string>;
};

/**
 * Those of `userIds` whose presence the viewer may see. What somebody hides from others, others hide from
 * them: who shows nothing sees nothing, and who shows nothing to groups sees nothing there.
 */
export function filterVisible(userIds: readonly string[], facts: PresenceFacts): string[] {
  const { viewerVisibility } = facts;
  if (!showsToContacts(viewerVisibility)) return [];
  return [...new Set(userIds)].filter((userId) => {
    if (facts.blocked.has(userId)) return false;
    const visibility = facts.visibilities.get(userId);
    if (facts.mutualContacts.has(userId)) return showsToContacts(visibility);
    if (!facts.groupMembers.has(userId)) return false;
    return showsToGroups(visibility) && showsToGroups(viewerVisibility);
  });
}

function showsToContacts(visibility: PresenceVisibility | undefined): boolean {
  return visibility === PresenceVisibility.CONTACTS || showsToGroups(visibility);
}

function showsToGroups(visibility: PresenceVisibility | undefined): boolean {
  return visibility === PresenceVisibility.CONTACTS_AND_GROUPS;
}

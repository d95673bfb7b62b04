/** Who may do what to a conversation: the role matrix of the contract, as functions. */
import { ConversationKind, Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  type ConversationSnapshot,
  isMember,
  type KnownRole,
  type Membership,
  type Refused,
  refuse,
} from "./conversation.ts";

export type Admitted = { readonly kind: "admitted"; readonly actor: Membership };

/**
 * Admits a present member of a group who has at least the role `needed`. The order of the refusals
 * keeps secrets: who is no member learns nothing but `CONVERSATION_NOT_FOUND`.
 */
export function admitToGroup(
  snapshot: ConversationSnapshot,
  actorUserId: string,
  needed: KnownRole,
): Admitted | Refused {
  const actor = snapshot.members.get(actorUserId);
  if (!isMember(actor)) return refuse({ reason: "CONVERSATION_NOT_FOUND" });
  if (snapshot.conversation.kind !== ConversationKind.GROUP) {
    return refuse({ reason: "NOT_A_GROUP" });
  }
  if (actor.role < needed) return refuse({ reason: "ROLE_INSUFFICIENT", needed });
  return { kind: "admitted", actor };
}

/** Whether a member of the role `actor` may remove one of the role `target`: only lower roles, from admin on. */
export function mayRemove(actor: KnownRole, target: KnownRole): boolean {
  return actor >= Role.ADMIN && actor > target;
}

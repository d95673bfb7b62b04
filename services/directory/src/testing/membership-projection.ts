/** Members as whoever reads the log knows them: the other half of every test about changes. */
import assert from "node:assert/strict";
import {
  type ConversationChange,
  type EncryptionMode,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";

export type MembershipProjection = {
  membershipVersion: number;
  title: string;
  encryptionMode: EncryptionMode | undefined;
  readonly roles: Map<string, Role>;
  /** Who may not send because of a block. */
  readonly silenced: Set<string>;
};

export function createProjection(): MembershipProjection {
  return {
    membershipVersion: 0,
    title: "",
    encryptionMode: undefined,
    roles: new Map(),
    silenced: new Set(),
  };
}

/** Applies the next change; fails when it does not fit what is known: nobody joins twice, nobody unknown leaves. */
export function project(state: MembershipProjection, message: ConversationChange): void {
  const { roles } = state;
  const { actorUserId, change } = message;
  assert.equal(
    Number(message.membershipVersion),
    state.membershipVersion + 1,
    "versions are dense",
  );
  state.membershipVersion++;
  switch (change.case) {
    case "created":
      assert.equal(state.membershipVersion, 1);
      state.title = change.value.title;
      state.encryptionMode = change.value.encryptionMode;
      for (const { userId, role } of change.value.members) join(roles, userId, role);
      break;
    case "membersAdded":
      assert.ok(change.value.userIds.length > 0);
      for (const userId of change.value.userIds) join(roles, userId, Role.MEMBER);
      break;
    case "memberJoined":
      join(roles, actorUserId, Role.MEMBER);
      break;
    case "memberRemoved":
      leave(roles, change.value.userId);
      break;
    case "memberLeft":
      leave(roles, actorUserId);
      if (change.value.newOwnerUserId !== "") {
        assert.ok(roles.has(change.value.newOwnerUserId), "the heir is a member");
        roles.set(change.value.newOwnerUserId, Role.OWNER);
      }
      break;
    case "roleChanged":
      assert.ok(roles.has(change.value.userId));
      roles.set(change.value.userId, change.value.role);
      if (change.value.role === Role.OWNER) roles.set(actorUserId, Role.ADMIN);
      break;
    case "titleChanged":
      state.title = change.value.title;
      break;
    case "sendPermissionChanged":
      if (change.value.maySend) state.silenced.delete(change.value.userId);
      else state.silenced.add(change.value.userId);
      break;
    default:
      assert.fail("a change without an arm");
  }
}

function join(roles: Map<string, Role>, userId: string, role: Role): void {
  assert.ok(!roles.has(userId), "nobody joins who is in");
  roles.set(userId, role);
}

function leave(roles: Map<string, Role>, userId: string): void {
  assert.ok(roles.delete(userId), "nobody leaves who is not in");
}

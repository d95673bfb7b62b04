import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  ConversationKind,
  EncryptionMode,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import fc from "fast-check";
import {
  createProjection,
  type MembershipProjection,
  project,
} from "../testing/membership-projection.ts";
import {
  type Changed,
  type ConversationSnapshot,
  type ConversationState,
  type Decision,
  isMember,
  type KnownRole,
  type Membership,
} from "./conversation.ts";
import { createGroup } from "./conversation-creation.ts";
import type { InviteState } from "./conversation-invite.ts";
import {
  addMembers,
  joinByInvite,
  leaveConversation,
  removeMember,
} from "./conversation-membership.ts";
import { updateMemberRole, updateTitle } from "./conversation-settings.ts";

const MEMBERS_MAX = 6;
const USERS = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

/** A group as a store keeps it, in memory: rows that a decision replaces. */
class Group {
  conversation: ConversationState;
  readonly members = new Map<string, Membership>();
  readonly log: MembershipProjection = createProjection();

  constructor(creation: Changed) {
    this.conversation = creation.conversation;
    this.write(creation);
  }

  snapshot(userIds: readonly string[], heirOf?: string): ConversationSnapshot {
    const named = userIds.flatMap((id) => this.members.get(id) ?? []);
    const heirs = [...this.members.values()]
      .filter((member) => isMember(member) && member.userId !== heirOf)
      .sort(
        (one, other) =>
          other.role - one.role ||
          one.joinVersion - other.joinVersion ||
          one.userId.localeCompare(other.userId),
      );
    return {
      conversation: this.conversation,
      members: new Map(named.map((member) => [member.userId, member])),
      heir: heirOf === undefined ? undefined : heirs[0],
    };
  }

  write(decision: Decision): void {
    if (decision.kind !== "changed") return;
    this.conversation = decision.conversation;
    for (const member of decision.members) this.members.set(member.userId, member);
    project(this.log, decision.change);
  }
}

type Command =
  | { readonly type: "add"; readonly actor: string; readonly users: readonly string[] }
  | { readonly type: "remove"; readonly actor: string; readonly user: string }
  | { readonly type: "leave"; readonly actor: string }
  | {
      readonly type: "role";
      readonly actor: string;
      readonly user: string;
      readonly role: KnownRole;
    }
  | { readonly type: "title"; readonly actor: string; readonly title: string }
  | { readonly type: "join"; readonly actor: string };

const user = fc.constantFrom(...USERS);
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    type: fc.constant("add" as const),
    actor: user,
    users: fc.array(user, { minLength: 1, maxLength: 4 }),
  }),
  fc.record({ type: fc.constant("remove" as const), actor: user, user }),
  fc.record({ type: fc.constant("leave" as const), actor: user }),
  fc
    .record({
      type: fc.constant("role" as const),
      actor: user,
      user,
      role: fc.constantFrom<KnownRole>(Role.MEMBER, Role.ADMIN, Role.OWNER),
    })
    .filter(({ actor, user: target }) => actor !== target),
  fc.record({ type: fc.constant("title" as const), actor: user, title: fc.constantFrom("x", "y") }),
  fc.record({ type: fc.constant("join" as const), actor: user }),
);

const INVITE: InviteState = {
  inviteCode: "code",
  conversationId: "group",
  creatorUserId: "a",
  createTimeMs: 0,
  expireTimeMs: Number.MAX_SAFE_INTEGER,
  useLimit: 0,
  useCount: 0,
  revoked: false,
};

const NOBODY = { unknownUserIds: new Set<string>(), blockingUserIds: new Set<string>() };

function decide(group: Group, given: Command, nowMs: number): Decision {
  const actorUserId = given.actor;
  switch (given.type) {
    case "add":
      return addMembers(group.snapshot([actorUserId, ...given.users]), {
        actorUserId,
        userIds: given.users,
        facts: NOBODY,
        membersMax: MEMBERS_MAX,
        nowMs,
      });
    case "remove":
      return removeMember(group.snapshot([actorUserId, given.user]), {
        actorUserId,
        userId: given.user,
        nowMs,
      });
    case "leave":
      return leaveConversation(group.snapshot([actorUserId], actorUserId), { actorUserId, nowMs });
    case "role":
      return updateMemberRole(group.snapshot([actorUserId, given.user]), {
        actorUserId,
        userId: given.user,
        role: given.role,
        nowMs,
      });
    case "title":
      return updateTitle(group.snapshot([actorUserId]), { actorUserId, title: given.title, nowMs });
    case "join":
      return joinByInvite(group.snapshot([actorUserId]), {
        actorUserId,
        invite: INVITE,
        membersMax: MEMBERS_MAX,
        nowMs,
      });
  }
}

function newGroup(): Group {
  const creation = createGroup({
    conversationId: "group",
    actorUserId: "a",
    userIds: ["b", "c"],
    facts: NOBODY,
    title: "x",
    encryptionMode: EncryptionMode.SERVER_READABLE,
    membersMax: MEMBERS_MAX,
    nowMs: 1000,
  });
  assert.equal(creation.kind, "changed");
  return new Group(creation as Changed);
}

/** What holds between any two commands. */
function checkInvariants(group: Group): void {
  const present = [...group.members.values()].filter(isMember);
  assert.equal(group.conversation.memberCount, present.length, "the count is the members'");
  assert.ok(present.length <= MEMBERS_MAX, "the limit holds");
  const owners = present.filter(({ role }) => role === Role.OWNER);
  assert.equal(owners.length, present.length === 0 ? 0 : 1, "exactly one owner");
  assert.equal(group.log.membershipVersion, group.conversation.membershipVersion);
  assert.equal(group.log.title, group.conversation.title);
  const roles = new Map(present.map(({ userId, role }) => [userId, role]));
  assert.deepEqual(
    new Map([...group.log.roles].sort()),
    new Map([...roles].sort()),
    "the log says the same",
  );
  for (const member of group.members.values()) {
    assert.ok(member.joinVersion <= group.conversation.membershipVersion);
    assert.ok(member.joinTimeMs <= group.conversation.changeTimeMs, "time does not go back");
  }
}

/** What must be true of one step, whatever the state is. */
function checkStep(before: Map<string, Membership>, group: Group, given: Command, made: Decision) {
  const role = before.get(given.actor)?.role ?? Role.UNSPECIFIED;
  if (made.kind === "changed") {
    if (given.type === "join") assert.equal(before.get(given.actor)?.removed ?? false, false);
    else assert.notEqual(role, Role.UNSPECIFIED, "only members change a group");
    if (given.type === "add" || given.type === "title") assert.ok(role >= Role.ADMIN);
    if (given.type === "role") assert.equal(role, Role.OWNER);
    if (given.type === "remove") {
      assert.ok(role > (before.get(given.user)?.role ?? 0), "only lower roles are removed");
      assert.ok(group.members.get(given.user)?.removed);
    }
  }
  if (made.kind === "refused") assert.deepEqual(group.members, before, "a refusal changes nothing");
}

describe("a group under any commands", () => {
  it("keeps one owner, its limit, dense versions, and a log that says the same", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(command, fc.integer({ min: -500, max: 500 })), { maxLength: 60 }),
        (commands) => {
          const group = newGroup();
          let nowMs = 1000;
          for (const [given, passedMs] of commands) {
            nowMs += passedMs;
            const before = new Map(group.members);
            const made = decide(group, given, nowMs);
            group.write(made);
            checkStep(before, group, given, made);
            checkInvariants(group);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("changes nothing more when a command is repeated at once", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 30 }), (commands) => {
        const group = newGroup();
        for (const given of commands) {
          const first = decide(group, given, 2000);
          group.write(first);
          if (first.kind !== "changed") continue;
          assert.equal(decide(group, given, 2001).kind, "unchanged", given.type);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("time", () => {
  it("does not go back in a conversation when the clock does", () => {
    const group = newGroup();
    group.write(decide(group, { type: "add", actor: "a", users: ["d"] }, 5000));
    group.write(decide(group, { type: "add", actor: "a", users: ["e"] }, 3000));
    assert.equal(group.members.get("e")?.joinTimeMs, 5000);
    assert.equal(group.conversation.kind, ConversationKind.GROUP);
  });
});

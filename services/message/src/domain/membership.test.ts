import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ConversationChangeSchema,
  ConversationKind,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Member } from "./conversation.ts";
import { beginConversation, changeMembers, takesPlace } from "./membership.ts";

type Body = NonNullable<MessageInitShape<typeof ConversationChangeSchema>["change"]>;

const changeOf = (change: Body, actorUserId = "ann") =>
  create(ConversationChangeSchema, { membershipVersion: 2n, actorUserId, change });

const members: ReadonlyMap<string, Member> = new Map([
  ["ann", { joinedSeq: 1, maySend: true }],
  ["ben", { joinedSeq: 4, maySend: true }],
]);

describe("changeMembers", () => {
  it("lets people in, each once", () => {
    const change = changeOf({ case: "membersAdded", value: { userIds: ["ben", "cem", "cem"] } });
    const effects = changeMembers(members, change, 9);
    assert.deepEqual(effects.put, ["cem"]);
    assert.deepEqual(effects.members.get("cem"), { joinedSeq: 9, maySend: true });
    assert.deepEqual(effects.members.get("ben"), members.get("ben"), "who is there stays");
    const joined = changeMembers(members, changeOf({ case: "memberJoined", value: {} }, "dan"), 9);
    assert.deepEqual(joined.put, ["dan"]);
  });

  it("closes the window of who goes, with the entry of going in it", () => {
    const removal = changeOf({ case: "memberRemoved", value: { userId: "ben" } });
    const removed = changeMembers(members, removal, 9);
    assert.deepEqual(removed.closed, [{ userId: "ben", joinedSeq: 4, leftSeq: 9 }]);
    assert.deepEqual([...removed.members.keys()], ["ann"]);
    const left = changeMembers(members, changeOf({ case: "memberLeft", value: {} }, "ben"), 9);
    assert.deepEqual(left, removed);
    const again = changeMembers(removed.members, removal, 10);
    assert.deepEqual(again.closed, [], "nobody goes twice");
  });

  it("takes and gives permission to write to members only", () => {
    const permit = (userId: string, maySend: boolean) =>
      changeMembers(
        members,
        changeOf({ case: "sendPermissionChanged", value: { userId, maySend } }),
        9,
      );
    assert.deepEqual(permit("ben", false).members.get("ben"), { joinedSeq: 4, maySend: false });
    assert.deepEqual(permit("ben", false).put, ["ben"]);
    assert.deepEqual(permit("ben", true).put, []);
    assert.equal(permit("cem", true).members, members);
  });

  it("leaves members alone for roles and titles", () => {
    const role = changeOf({ case: "roleChanged", value: { userId: "ben", role: 2 } });
    assert.equal(changeMembers(members, role, 9).members, members);
    const title = changeOf({ case: "titleChanged", value: { title: "t" } });
    assert.equal(changeMembers(members, title, 9).members, members);
  });

  it("changes no map that somebody else holds", () => {
    changeMembers(members, changeOf({ case: "memberRemoved", value: { userId: "ben" } }), 9);
    assert.equal(members.size, 2);
  });
});

describe("beginConversation", () => {
  it("begins with `created` alone, and sorts the two of a direct conversation", () => {
    const people = [{ userId: "zoe" }, { userId: "ann" }];
    const created = (kind: ConversationKind) =>
      beginConversation("c", changeOf({ case: "created", value: { kind, members: people } }));
    assert.deepEqual(created(ConversationKind.DIRECT)?.directUserIds, ["ann", "zoe"]);
    assert.deepEqual(created(ConversationKind.GROUP)?.directUserIds, []);
    const title = changeOf({ case: "titleChanged", value: { title: "t" } });
    assert.equal(beginConversation("c", title), undefined);
  });
});

describe("takesPlace", () => {
  it("is true for all but permissions", () => {
    assert.equal(takesPlace(changeOf({ case: "titleChanged", value: {} })), true);
    assert.equal(takesPlace(changeOf({ case: "sendPermissionChanged", value: {} })), false);
  });
});

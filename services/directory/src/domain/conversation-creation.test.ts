import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { EncryptionMode, Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { isUuid, newUuid } from "@parley/platform/ids";
import fc from "fast-check";
import { createGroup, directConversationId, openDirect } from "./conversation-creation.ts";

describe("the id of a direct conversation", () => {
  it("is a UUIDv8 that does not depend on who opens it", () => {
    fc.assert(
      fc.property(fc.uuid(), fc.uuid(), (one, two) => {
        const id = directConversationId([one, two]);
        assert.equal(id, directConversationId([two, one]));
        assert.ok(isUuid(id));
        assert.match(id, /^.{14}8.{4}[89ab]/);
      }),
    );
  });

  it("is made of SHA-256 over the domain and both ids; a change would lose every conversation", () => {
    const one = "00000000-0000-7000-8000-000000000001";
    const two = "00000000-0000-7000-8000-000000000002";
    const hex = createHash("sha256").update(`parley-direct${one}${two}`).digest("hex");
    const id = directConversationId([two, one]).replaceAll("-", "");
    assert.equal(id.slice(0, 12), hex.slice(0, 12));
    assert.equal(id.slice(13, 16), hex.slice(13, 16));
    assert.equal(id.slice(17), hex.slice(17, 32));
  });

  it("differs between pairs", () => {
    const [one, two, three] = [newUuid(), newUuid(), newUuid()];
    const ids = [
      [one, two],
      [one, three],
      [two, three],
    ].map((pair) => directConversationId(pair as [string, string]));
    assert.equal(new Set(ids).size, 3);
  });
});

describe("beginning a conversation", () => {
  const common = { encryptionMode: EncryptionMode.SERVER_READABLE, nowMs: 1000 };

  it("says first that a person does not exist, and then that a block stands in the way", () => {
    const command = { actorUserId: "a", userId: "b", known: false, blocked: true, ...common };
    assert.deepEqual(openDirect(command), {
      kind: "refused",
      refusal: { reason: "USER_NOT_FOUND", userIds: ["b"] },
    });
    assert.deepEqual(openDirect({ ...command, known: true }), {
      kind: "refused",
      refusal: { reason: "BLOCKED", userIds: ["b"] },
    });
  });

  it("counts everybody once, whoever is named twice", () => {
    const facts = { unknownUserIds: new Set<string>(), blockingUserIds: new Set<string>() };
    const command = {
      conversationId: "group",
      actorUserId: "a",
      userIds: ["b", "a", "b", "c"],
      facts,
      title: "T",
      membersMax: 3,
      ...common,
    };
    const decision = createGroup(command);
    assert.ok(decision.kind === "changed");
    assert.deepEqual(
      decision.members.map(({ userId, role }) => [userId, role]),
      [
        ["a", Role.OWNER],
        ["b", Role.MEMBER],
        ["c", Role.MEMBER],
      ],
    );
    assert.equal(decision.conversation.memberCount, 3);
    assert.equal(createGroup({ ...command, membersMax: 2 }).kind, "refused");
  });
});

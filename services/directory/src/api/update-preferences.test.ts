import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { createConversationFixture } from "../testing/conversation-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

/** What clients send for "always". */
const YEAR_9999 = { seconds: 253_402_300_799n, nanos: 999_000_000 };

describe("UpdatePreferences", () => {
  it("stores them, shows them to nobody else, and tells the caller's own sessions", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, [one]);
    const { preferences } = await fixture
      .as(one)
      .updatePreferences({ conversationId, muteUntilTime: YEAR_9999 });
    assert.equal(preferences?.muteUntilTime?.seconds, YEAR_9999.seconds);
    assert.equal(preferences.muteUntilTime.nanos, YEAR_9999.nanos);
    const own = await fixture.as(one).getConversation({ conversationId });
    assert.deepEqual(own.conversation?.preferences, preferences);
    const others = await fixture.as(owner).getConversation({ conversationId });
    assert.equal(others.conversation?.preferences?.muteUntilTime, undefined);
    const [told] = fixture.fanout.dispatched;
    assert.deepEqual(told?.userIds, [one]);
    assert.deepEqual(told.event.event, { case: "preferences", value: preferences });
    assert.equal(fixture.log.logs.get(conversationId)?.length, 1, "no change of the conversation");
  });

  it("takes them back, and keeps them through leaving and coming back", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", one = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, [one]);
    const mute = (muteUntilTime?: typeof YEAR_9999) =>
      fixture
        .as(one)
        .updatePreferences({ conversationId, ...(muteUntilTime && { muteUntilTime }) });
    const stored = async () => {
      const { conversation } = await fixture.as(one).getConversation({ conversationId });
      return conversation?.preferences?.muteUntilTime?.seconds;
    };
    await mute(YEAR_9999);
    await fixture.as(one).leaveConversation({ conversationId });
    await refusedWith(mute(), "CONVERSATION_NOT_FOUND");
    await fixture.as(owner).addMembers({ conversationId, userIds: [one] });
    assert.equal(await stored(), YEAR_9999.seconds);
    await mute();
    await mute();
    assert.equal(await stored(), undefined);
  });

  it("succeeds when the sessions cannot be told", async () => {
    await using fixture = await createConversationFixture();
    const [one = "", two = ""] = await fixture.addUsers(2);
    const { conversation } = await fixture.as(one).openDirectConversation({ userId: two });
    const conversationId = conversation?.conversationId ?? "";
    fixture.fanout.failing = true;
    await fixture.as(one).updatePreferences({ conversationId, muteUntilTime: YEAR_9999 });
    const own = await fixture.as(one).getConversation({ conversationId });
    assert.equal(own.conversation?.preferences?.muteUntilTime?.seconds, YEAR_9999.seconds);
  });

  it("refuses strangers and times that are none", async () => {
    await using fixture = await createConversationFixture();
    const [owner = "", stranger = ""] = await fixture.addUsers(2);
    const conversationId = await fixture.createGroup(owner, []);
    await refusedWith(
      fixture.as(stranger).updatePreferences({ conversationId }),
      "CONVERSATION_NOT_FOUND",
    );
    const lastSecond = 253_402_300_799n;
    for (const muteUntilTime of [
      { seconds: 2n ** 62n, nanos: 0 },
      { seconds: lastSecond, nanos: 2_000_000_000 }, // lies in the year 10000
      { seconds: 0n, nanos: -1 },
    ]) {
      await assert.rejects(fixture.as(owner).updatePreferences({ conversationId, muteUntilTime }), {
        code: Code.InvalidArgument,
      });
    }
  });
});

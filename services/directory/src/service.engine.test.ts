/** Two whole directory services on one MySQL, one log and one fan-out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { createMigratedMysql } from "./engine/testing/test-mysql.ts";
import {
  type AccountFixture,
  createAccountFixture,
  DEVICE,
  PASSWORD,
} from "./testing/account-fixture.ts";

async function startTwo() {
  const mysql = await createMigratedMysql();
  const config = { mysql: mysql.config };
  const one = await createAccountFixture({ config });
  const two = await createAccountFixture({ config, beside: one });
  return {
    mysql,
    one,
    two,
    /** Resolves when nothing is left in the outbox. */
    async drained() {
      const table = `${mysql.config.database}.conversation_outbox`;
      while ((await mysql.execute(`select 1 from ${table} limit 1`)).length > 0) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async [Symbol.asyncDispose]() {
      for (const each of [two, one, mysql]) await each[Symbol.asyncDispose]();
    },
  };
}

/** The person's clients on another instance. */
const at = (fixture: AccountFixture, { userId, deviceId }: { userId: string; deviceId: string }) =>
  fixture.as(userId, deviceId);

test("accounts, tokens and sign-outs are one thing, whichever instance is asked", async () => {
  await using instances = await startTwo();
  const { one, two } = instances;
  const ada = await one.person("ada");
  const taken = two.anybody.signUp({ username: "ada", password: PASSWORD, device: DEVICE });
  await assert.rejects(taken, (error) => ConnectError.from(error).code === Code.AlreadyExists);
  const signedIn = await two.anybody.signIn({
    username: "ada",
    password: PASSWORD,
    device: DEVICE,
  });
  const { refreshToken = "" } = signedIn.tokens ?? {};
  const renewed = await Promise.all(
    [one, two, one, two].map((fixture) => fixture.anybody.refreshTokens({ refreshToken })),
  );
  assert.equal(new Set(renewed.map(({ tokens }) => tokens?.refreshToken)).size, 1);
  assert.equal(new Set(renewed.map(({ tokens }) => tokens?.accessToken)).size, 1);
  const next = renewed[0]?.tokens?.refreshToken ?? "";
  await two.anybody.refreshTokens({ refreshToken: next });
  one.clock.advance(120_000);
  await assert.rejects(one.anybody.refreshTokens({ refreshToken }), (error) => {
    assert.equal(ConnectError.from(error).code, Code.Unauthenticated, reasonOf(error));
    return true;
  });
  await one.fanout.arrived(1);
  const { revokedDeviceIds } = await two.internal.checkDevices({
    deviceIds: [signedIn.deviceId, ada.deviceId],
  });
  assert.deepEqual(revokedDeviceIds, [signedIn.deviceId]);
});

test("a change that both relays bring at once is applied once", async () => {
  await using instances = await startTwo();
  const { one, two } = instances;
  const ada = await one.person("ada");
  const release = one.log.hold();
  const creating = ada.conversation.createGroup({ requestId: newUuid(), title: "G", userIds: [] });
  await one.log.arrived(1);
  // The first thing that an instance does is to look what others left behind.
  await two.restart();
  await one.log.arrived(2);
  release();
  const { conversation } = await creating;
  await instances.drained();
  const { conversationId = "" } = conversation ?? {};
  const versions = one.log.logs.get(conversationId)?.map((change) => change.membershipVersion);
  assert.deepEqual(versions, [1n]);
  assert.equal(one.log.duplicates, 1);
  await at(two, ada).conversation.updateTitle({ conversationId, title: "still works" });
});

test("changes from two instances reach the log in order, whatever gets lost on the way", async () => {
  await using instances = await startTwo();
  const { one, two } = instances;
  const { log } = one;
  const owner = await one.person("owner");
  const others = await Promise.all(
    Array.from({ length: 6 }, (_, index) => one.person(`person${index}`)),
  );
  const groups = await Promise.all(
    [one, two, one].map(async (fixture) => {
      const request = { requestId: newUuid(), title: "G", userIds: [] };
      const { conversation } = await at(fixture, owner).conversation.createGroup(request);
      return conversation?.conversationId ?? "";
    }),
  );
  log.failNext("lost-answer", "unavailable", "lost-answer", "broken-stream", "lost-answer");
  await Promise.all(
    groups.flatMap((conversationId) =>
      others.map(async ({ userId }, index) => {
        const [adds, removes] = index % 2 === 0 ? [one, two] : [two, one];
        const { conversation } = at(adds, owner);
        await conversation.addMembers({ conversationId, userIds: [userId] });
        await at(removes, owner).conversation.removeMember({ conversationId, userId });
        assert.ok(!log.membersOf(conversationId).roles.has(userId), "removed when answered");
        await conversation.addMembers({ conversationId, userIds: [userId] });
      }),
    ),
  );
  await instances.drained();
  for (const conversationId of groups) {
    const versions = (log.logs.get(conversationId) ?? []).map((change) =>
      Number(change.membershipVersion),
    );
    assert.deepEqual(
      versions,
      Array.from({ length: 1 + 3 * others.length }, (_, index) => index + 1),
    );
    const { conversation } = await at(two, owner).conversation.getConversation({ conversationId });
    assert.equal(conversation?.memberCount, 1 + others.length);
  }
});

test("what an instance leaves in the outbox when it dies is brought by another one", async () => {
  await using instances = await startTwo();
  const { one, two } = instances;
  const ada = await one.person("ada");
  const ben = await one.person("ben");
  one.log.failNext(...Array.from({ length: 50 }, () => "unavailable" as const));
  const { conversation } = ada;
  const creating = conversation.createGroup({
    requestId: newUuid(),
    title: "G",
    userIds: [ben.userId],
  });
  creating.catch(() => undefined);
  await one.log.arrived(2);
  await one.restart(async () => {
    one.log.heal();
    await two.restart();
    await instances.drained();
  });
  const [[, changes] = ["", []]] = [...one.log.logs];
  assert.equal(changes.length, 1);
});

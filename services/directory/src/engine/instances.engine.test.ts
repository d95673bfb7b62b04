/** Several instances of the directory on one MySQL, at the height of their stores. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "@parley/platform/clock";
import { newUuid } from "@parley/platform/ids";
import { createAccessTokenSigner } from "../access-token-signer.ts";
import type { ChangeOutcome } from "../conversation-ports.ts";
import { admitNewInvite } from "../domain/conversation-invite.ts";
import { joinByInvite, removeMember } from "../domain/conversation-membership.ts";
import { decideRotation } from "../domain/rotation.ts";
import {
  NOW_MS as ACCOUNT_MS,
  addPeople,
  deviceOf,
  hashOf,
  LIFETIME_MS,
} from "../testing/account-stores.ts";
import {
  add,
  directOf,
  done,
  groupOf,
  inviteOf,
  MEMBERS_MAX,
  NOW_MS,
  people,
  requestOf,
} from "../testing/conversation-stores.ts";
import { type MysqlStores, openMysqlStores } from "./testing/mysql-stores.ts";
import { createMigratedMysql } from "./testing/test-mysql.ts";

async function openTwo() {
  const mysql = await createMigratedMysql();
  const one = await openMysqlStores(mysql.config);
  const two = await openMysqlStores(mysql.config);
  return {
    one,
    two,
    /** One of the two, turn by turn. */
    of: (index: number): MysqlStores => (index % 2 === 0 ? one : two),
    async [Symbol.asyncDispose]() {
      for (const each of [one, two, mysql]) await each[Symbol.asyncDispose]();
    },
  };
}

async function countOutbox(stores: MysqlStores, conversationId: string) {
  const entries = await stores.outbox.readPending(conversationId, 10_000);
  return entries.map((entry) => entry.membershipVersion);
}

test("a group never has more than 500 members, from wherever they are added", async (context) => {
  await using instances = await openTwo();
  const { one, two } = instances;
  const [owner = "", ...others] = people(560);
  const { conversationId } = done(
    await one.conversations.createGroup(groupOf(owner, []), requestOf(owner)),
  );
  const startMs = performance.now();
  const waiting = [...others];
  const outcomes: ChangeOutcome[] = [];
  // As many at once as wait their turn within the patience of a call, on a slow machine too.
  const work = async ({ conversations }: MysqlStores) => {
    for (let userId = waiting.pop(); userId !== undefined; userId = waiting.pop()) {
      const reads = { userIds: [owner, userId] };
      outcomes.push(await conversations.change(conversationId, reads, add(owner, [userId])));
    }
  };
  await Promise.all(Array.from({ length: 60 }, (_, index) => work(instances.of(index))));
  const tookMs = performance.now() - startMs;
  const added = outcomes.filter((outcome) => outcome.kind === "done" && outcome.changed);
  assert.equal(added.length, 499);
  assert.equal(outcomes.filter((outcome) => outcome.kind === "refused").length, 60);
  for (const stores of [one, two]) {
    const members = await stores.conversations.filterMembers(conversationId, [owner, ...others]);
    assert.equal(members.length, 500);
    const view = await stores.conversations.read(conversationId, owner);
    assert.equal(view?.conversation.memberCount, 500);
    assert.equal(view.conversation.membershipVersion, 500);
  }
  const versions = await countOutbox(two, conversationId);
  assert.deepEqual(
    versions,
    Array.from({ length: 500 }, (_, index) => index + 1),
  );
  context.diagnostic(`one group: ${Math.round((559 / tookMs) * 1000)} decisions/s`);
});

test("changes of many groups at once are all made", async (context) => {
  await using instances = await openTwo();
  const groups = await Promise.all(
    Array.from({ length: 40 }, async () => {
      const [owner = "", other = ""] = people(2);
      const created = await instances.one.conversations.createGroup(
        groupOf(owner, []),
        requestOf(owner),
      );
      return { owner, other, conversationId: done(created).conversationId };
    }),
  );
  const ROUNDS = 10;
  const startMs = performance.now();
  await Promise.all(
    groups.map(async ({ owner, other, conversationId }, index) => {
      const { conversations } = instances.of(index);
      for (let round = 0; round < ROUNDS; round++) {
        const reads = { userIds: [owner, other] };
        await conversations.change(conversationId, reads, add(owner, [other]));
        await conversations.change(conversationId, reads, (snapshot) =>
          removeMember(snapshot, { actorUserId: owner, userId: other, nowMs: NOW_MS }),
        );
      }
    }),
  );
  const perSecond = (groups.length * ROUNDS * 2 * 1000) / (performance.now() - startMs);
  context.diagnostic(`40 groups, two instances: ${Math.round(perSecond)} membership changes/s`);
  for (const { conversationId } of groups) {
    assert.equal((await countOutbox(instances.two, conversationId)).length, 1 + 2 * ROUNDS);
  }
});

test("a page of members is of the version that comes with it, while others change the group", async () => {
  await using instances = await openTwo();
  const { one, two } = instances;
  const [owner = "", ...others] = people(60);
  const { conversationId } = done(
    await one.conversations.createGroup(groupOf(owner, []), requestOf(owner)),
  );
  let changing = true;
  const changes = (async () => {
    for (const userId of others) {
      const reads = { userIds: [owner, userId] };
      await one.conversations.change(conversationId, reads, add(owner, [userId]));
    }
    changing = false;
  })();
  while (changing) {
    const page = { after: undefined, limit: 500 };
    const listed = await two.conversations.listMembers(conversationId, owner, page);
    assert.equal(listed?.members.length, listed?.view.conversation.memberCount);
  }
  await changes;
});

test("two people who open a conversation with each other at once have one", async () => {
  await using instances = await openTwo();
  for (let round = 0; round < 10; round++) {
    const [ann = "", ben = ""] = people(2);
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        instances
          .of(index)
          .conversations.createDirect(index % 2 === 0 ? directOf(ann, ben) : directOf(ben, ann)),
      ),
    );
    assert.equal(outcomes.filter((outcome) => done(outcome).changed).length, 1);
    assert.equal(new Set(outcomes.map((outcome) => done(outcome).conversationId)).size, 1);
    const { conversationId = "" } = done(outcomes[0] ?? assert.fail());
    assert.deepEqual(await countOutbox(instances.one, conversationId), [1]);
  }
});

test("of a block and a new conversation at once, one sees the other", async () => {
  await using instances = await openTwo();
  const { one, two } = instances;
  for (let round = 0; round < 20; round++) {
    const [ann, ben] = await addPeople(one, `ann-${round}`, `ben-${round}`);
    const annId = ann?.account.userId ?? "";
    const benId = ben?.account.userId ?? "";
    const creation = directOf(annId, benId);
    let seen = false;
    const [opened] = await Promise.all([
      one.conversations.createDirect(creation),
      two.contacts.blockUser(benId, annId, { blocksMax: 10, nowMs: 1 }).then(() =>
        two.conversations.changeByBlocks(
          creation.conversation.conversationId,
          [annId, benId],
          (_snapshot, blocks) => {
            seen = blocks.length === 1;
            return { kind: "unchanged" };
          },
        ),
      ),
    ]);
    assert.ok(opened.kind === "refused" || seen, "nobody saw the other");
  }
});

test("a link for three lets three in, whichever instance they ask", async () => {
  await using instances = await openTwo();
  const { one, two } = instances;
  const [owner = "", ...others] = people(21);
  const { conversationId } = done(
    await one.conversations.createGroup(groupOf(owner, []), requestOf(owner)),
  );
  const invite = inviteOf(conversationId, owner, 3);
  await two.invites.createInvite(invite, (snapshot, liveLinks) =>
    admitNewInvite(snapshot, { actorUserId: owner, liveLinks, linksMax: 5 }),
  );
  const outcomes = await Promise.all(
    others.map((actorUserId, index) =>
      instances
        .of(index)
        .invites.joinByInvite(invite.inviteCode, actorUserId, (snapshot, current) =>
          joinByInvite(snapshot, {
            actorUserId,
            invite: current,
            membersMax: MEMBERS_MAX,
            nowMs: NOW_MS,
          }),
        ),
    ),
  );
  const joined = outcomes.filter((outcome) => outcome.kind === "done" && outcome.changed);
  assert.equal(joined.length, 3);
  assert.equal((await one.invites.readInvite(invite.inviteCode))?.useCount, 3);
  assert.equal((await two.conversations.filterMembers(conversationId, others)).length, 3);
});

test("a refresh token has one successor, and a later reuse ends the device everywhere", async () => {
  await using instances = await openTwo();
  const { one, two } = instances;
  const [ada] = await addPeople(one, "ada");
  const deviceId = ada?.first.device.deviceId ?? "";
  const rotate = (stores: MysqlStores, generation: number, nowMs: number) =>
    stores.devices.rotateToken(deviceId, nowMs, (snapshot) =>
      decideRotation(
        snapshot,
        {
          generation,
          tokenHash: hashOf(deviceId, generation),
          expireTimeMs: ACCOUNT_MS + LIFETIME_MS,
          successorHash: hashOf(deviceId, generation + 1),
        },
        { nowMs, lifetimeMs: LIFETIME_MS },
      ),
    );
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, index) => rotate(instances.of(index), 1, ACCOUNT_MS + 1000)),
  );
  const kinds = outcomes.map(({ decision }) => decision.kind);
  assert.equal(kinds.filter((kind) => kind === "rotate").length, 1);
  assert.equal(kinds.filter((kind) => kind === "repeat").length, 19);
  const laterMs = ACCOUNT_MS + 120_000;
  assert.equal((await rotate(two, 2, laterMs)).decision.kind, "rotate");
  const reuses = await Promise.all([rotate(one, 1, laterMs), rotate(two, 1, laterMs)]);
  assert.deepEqual(reuses.map(({ decision }) => decision.kind).sort(), ["invalid", "reused"]);
  assert.equal((await rotate(one, 3, laterMs)).decision.kind, "invalid");
  assert.deepEqual(await two.devices.filterRevoked([deviceId], laterMs), [deviceId]);
  assert.equal((await two.devices.listRevocations(10)).length, 1);
});

test("a new password and a sign-out at once both happen", async () => {
  await using instances = await openTwo();
  const { one, two } = instances;
  for (let round = 0; round < 20; round++) {
    const username = `ada-${round}`;
    const [ada] = await addPeople(one, username);
    const userId = ada?.account.userId ?? "";
    const deviceId = ada?.first.device.deviceId ?? "";
    const others = [deviceOf(userId), deviceOf(userId)];
    const expectedHash = `hash of ${username}`;
    for (const other of others) {
      await one.devices.addDevice(other, { devicesMax: 16, expectedHash });
    }
    const change = { userId, deviceId, expectedHash, newHash: "new", nowMs: ACCOUNT_MS };
    const [changed, ...found] = await Promise.all([
      one.accounts.changePassword(change),
      ...others.map(({ device }) => two.devices.revokeDevice(userId, device.deviceId, ACCOUNT_MS)),
    ]);
    assert.equal(changed.kind, "changed");
    assert.deepEqual(found, [true, true]);
    const left = await two.devices.listDevices(userId, ACCOUNT_MS);
    assert.deepEqual(
      left.map((device) => device.deviceId),
      [deviceId],
    );
  }
});

test("two instances make one signing key at a time, and verify each other's tokens", async () => {
  await using instances = await openTwo();
  const { one, two } = instances;
  const clock = createManualClock();
  const DAY_MS = 86_400_000;
  const policy = { rotateAfterMs: 90 * DAY_MS, accessMs: 900_000, distrustBeforeMs: 0 };
  const signers = await Promise.all(
    [one, two].map(({ keys }) =>
      createAccessTokenSigner({ issuer: "test", signingKeyJson: undefined, policy, keys, clock }),
    ),
  );
  const sign = () => {
    const issueTimeMs = clock.nowMs();
    const claims = {
      userId: newUuid(),
      deviceId: newUuid(),
      issueTimeMs,
      expireTimeMs: issueTimeMs + 900_000,
    };
    return Promise.all(signers.map((signer) => signer.sign(claims)));
  };
  for (let season = 1; season <= 3; season++) {
    const tokens = await sign();
    assert.equal(tokens[0], tokens[1], "the same claims give the same token everywhere");
    clock.advance(91 * DAY_MS);
    const keySets = await Promise.all(signers.map((signer) => signer.readJwksJson()));
    assert.equal(keySets[0], keySets[1]);
    // The old one still verifies, and the new one waits until everybody knows it.
    assert.equal(JSON.parse(keySets[0] ?? "").keys.length, 2);
    clock.advance(30 * 60_000);
    const later = await Promise.all(signers.map((signer) => signer.readJwksJson()));
    assert.equal(JSON.parse(later[0] ?? "").keys.length, 1);
    assert.equal(later[0], later[1]);
  }
});

/** What every adapter of the account stores does; run by each of them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import { newUuid } from "@parley/platform/ids";
import { decideRotation } from "./domain/rotation.ts";
import {
  type AccountStores,
  accountOf,
  addPeople,
  deviceOf,
  hashOf,
  LIFETIME_MS,
  NOW_MS,
} from "./testing/account-stores.ts";
import { keyContract } from "./testing/server-key-contract.ts";

type Open = () => Promise<AccountStores>;

/** Declares the suite. `open` gives stores that share nothing with those of other tests. */
export function describeAccountStores(name: string, open: Open): void {
  describe(`the account store on ${name}`, () => accountContract(open));
  describe(`passwords and settings on ${name}`, () => settingsContract(open));
  describe(`the device store on ${name}`, () => deviceContract(open));
  describe(`refresh tokens on ${name}`, () => rotationContract(open));
  describe(`the server's keys on ${name}`, () => keyContract(open));
}

function accountContract(open: Open): void {
  it("gives back what was written", async () => {
    await using stores = await open();
    const created = accountOf("ada", { displayName: "Ada 🦉", about: "É\u{1F600}" });
    assert.deepEqual(await stores.accounts.createAccount(created), { kind: "created" });
    const { account, passwordHash } = created;
    assert.deepEqual(await stores.accounts.findByUsername("ada"), { account, passwordHash });
    assert.deepEqual(await stores.accounts.readAccounts([account.userId, newUuid()]), [account]);
    assert.equal(await stores.accounts.readPasswordHash(account.userId), passwordHash);
    assert.equal(await stores.accounts.findByUsername("bob"), undefined);
    assert.equal(await stores.accounts.readPasswordHash(newUuid()), undefined);
    assert.deepEqual(await stores.accounts.readAccounts([]), []);
  });

  it("renews a password's hash only if it still is the expected one, and signs nobody out", async () => {
    await using stores = await open();
    const [ada] = await addPeople(stores, "ada");
    const userId = ada?.account.userId ?? "";
    const expectedHash = ada?.passwordHash ?? "";
    const renewals = await Promise.all(
      ["one", "two", "three"].map((newHash) =>
        stores.accounts.renewPasswordHash({ userId, expectedHash, newHash }),
      ),
    );
    assert.equal(renewals.filter((renewed) => renewed).length, 1);
    const winner = ["one", "two", "three"][renewals.indexOf(true)];
    assert.equal(await stores.accounts.readPasswordHash(userId), winner);
    assert.equal((await stores.devices.listDevices(userId, NOW_MS)).length, 1);
    const stranger = { userId: newUuid(), expectedHash, newHash: "four" };
    assert.equal(await stores.accounts.renewPasswordHash(stranger), false);
  });

  it("creates one account of many with a username, and leaves nothing of the others", async () => {
    await using stores = await open();
    const candidates = Array.from({ length: 20 }, () => accountOf("ada"));
    const outcomes = await Promise.all(
      candidates.map((candidate) => stores.accounts.createAccount(candidate)),
    );
    const created = candidates.filter((_, index) => outcomes[index]?.kind === "created");
    assert.equal(created.length, 1);
    assert.equal(outcomes.filter((outcome) => outcome.kind === "username-taken").length, 19);
    const deviceIds = candidates.map((candidate) => candidate.first.device.deviceId);
    const unknown = await stores.devices.filterRevoked(deviceIds, NOW_MS);
    assert.equal(unknown.length, 19);
    const userIds = candidates.map((candidate) => candidate.account.userId);
    assert.equal((await stores.accounts.readAccounts(userIds)).length, 1);
  });

  it("creates one account of many for an external subject", async () => {
    await using stores = await open();
    const externalSubject = { issuer: "https://id.example", subject: "42" };
    const candidates = Array.from({ length: 10 }, (_, index) => ({
      ...accountOf(`ada${index}`),
      passwordHash: undefined,
      externalSubject,
    }));
    const outcomes = await Promise.all(
      candidates.map((candidate) => stores.accounts.createAccount(candidate)),
    );
    assert.equal(outcomes.filter((outcome) => outcome.kind === "created").length, 1);
    assert.equal(outcomes.filter((outcome) => outcome.kind === "subject-taken").length, 9);
    const found = await stores.accounts.findBySubject(externalSubject);
    const winner = candidates[outcomes.findIndex((outcome) => outcome.kind === "created")];
    assert.deepEqual(found, winner?.account);
    const other = { ...externalSubject, subject: "43" };
    assert.equal(await stores.accounts.findBySubject(other), undefined);
    for (const alike of [
      { ...externalSubject, issuer: "https://ID.example" },
      { ...externalSubject, issuer: "https://íd.example" },
      { ...externalSubject, subject: "42 " },
    ]) {
      assert.equal(await stores.accounts.findBySubject(alike), undefined, JSON.stringify(alike));
    }
  });

  it("says which of subject and username is taken", async () => {
    await using stores = await open();
    await addPeople(stores, "ada");
    const externalSubject = { issuer: "i", subject: "s" };
    const created = { ...accountOf("ada"), externalSubject };
    const taken = await stores.accounts.createAccount(created);
    assert.deepEqual(taken, { kind: "username-taken" });
    assert.equal(await stores.accounts.findBySubject(externalSubject), undefined);
  });
}

function settingsContract(open: Open): void {
  it("changes profiles and settings, also to what they are", async () => {
    await using stores = await open();
    const [ada] = await addPeople(stores, "ada");
    assert.ok(ada !== undefined);
    const { userId } = ada.account;
    for (let round = 0; round < 2; round++) {
      const changed = await stores.accounts.updateProfile(userId, { about: "Hello" });
      assert.deepEqual(changed, { ...ada.account, about: "Hello" });
    }
    const privacy = {
      presenceVisibility: PresenceVisibility.NOBODY,
      sendReadReceipts: false,
      searchable: false,
    };
    assert.equal(await stores.accounts.updatePrivacy(userId, privacy), true);
    assert.equal(await stores.accounts.updatePrivacy(userId, privacy), true);
    assert.deepEqual((await stores.accounts.readAccounts([userId]))[0]?.privacy, privacy);
    assert.deepEqual(
      await stores.accounts.readVisibilities([userId, newUuid()]),
      new Map([[userId, PresenceVisibility.NOBODY]]),
    );
    assert.deepEqual(await stores.accounts.filterHidingReceipts([userId]), [userId]);
  });

  it("knows nobody whom it does not know", async () => {
    await using stores = await open();
    const privacy = accountOf("x").account.privacy;
    assert.equal(await stores.accounts.updateProfile(newUuid(), { about: "x" }), undefined);
    assert.equal(await stores.accounts.updatePrivacy(newUuid(), privacy), false);
  });

  it("changes a password once, and signs every other device out with it", async () => {
    await using stores = await open();
    const [ada] = await addPeople(stores, "ada");
    assert.ok(ada !== undefined);
    const { userId } = ada.account;
    const { deviceId } = ada.first.device;
    const other = deviceOf(userId);
    const conditions = { devicesMax: 16, expectedHash: "hash of ada" };
    await stores.devices.addDevice(other, conditions);
    const outcomes = await Promise.all(
      ["one", "two", "three"].map((newHash) =>
        stores.accounts.changePassword({
          userId,
          deviceId,
          expectedHash: "hash of ada",
          newHash,
          nowMs: NOW_MS,
        }),
      ),
    );
    const changed = outcomes.filter((outcome) => outcome.kind === "changed");
    assert.deepEqual(changed, [{ kind: "changed", revokedDeviceIds: [other.device.deviceId] }]);
    assert.deepEqual(await stores.devices.listRevocations(10), [
      { userId, deviceId: other.device.deviceId },
    ]);
    const late = await stores.devices.addDevice(deviceOf(userId), conditions);
    assert.deepEqual(late, { kind: "password-changed" });
  });
}

function deviceContract(open: Open): void {
  it("never signs in on more devices than allowed", async () => {
    await using stores = await open();
    const [ada] = await addPeople(stores, "ada");
    const userId = ada?.account.userId ?? "";
    const conditions = { devicesMax: 16, expectedHash: undefined };
    const outcomes = await Promise.all(
      Array.from({ length: 30 }, () => stores.devices.addDevice(deviceOf(userId), conditions)),
    );
    assert.equal(outcomes.filter((outcome) => outcome.kind === "added").length, 15);
    assert.equal((await stores.devices.listDevices(userId, NOW_MS)).length, 16);
  });

  it("revokes a device once, and only its owner's", async () => {
    await using stores = await open();
    const [ada, bob] = await addPeople(stores, "ada", "bob");
    const userId = ada?.account.userId ?? "";
    const deviceId = ada?.first.device.deviceId ?? "";
    const stranger = bob?.account.userId ?? "";
    assert.equal(await stores.devices.revokeDevice(stranger, deviceId, NOW_MS), false);
    assert.deepEqual(await stores.devices.filterRevoked([deviceId], NOW_MS), []);
    const found = await Promise.all(
      Array.from({ length: 5 }, () => stores.devices.revokeDevice(userId, deviceId, NOW_MS)),
    );
    assert.deepEqual(found, [true, true, true, true, true]);
    assert.deepEqual(await stores.devices.listRevocations(10), [{ userId, deviceId }]);
    await stores.devices.deleteRevocations([deviceId]);
    await stores.devices.deleteRevocations([deviceId]);
    assert.deepEqual(await stores.devices.listRevocations(10), []);
    assert.deepEqual(await stores.devices.filterRevoked([deviceId, deviceId], NOW_MS), [deviceId]);
  });

  it("forgets a device 90 days after its end, when its person signs in again", async () => {
    await using stores = await open();
    const [ada] = await addPeople(stores, "ada");
    const userId = ada?.account.userId ?? "";
    const deviceId = ada?.first.device.deviceId ?? "";
    const conditions = { devicesMax: 16, expectedHash: undefined };
    const laterMs = NOW_MS + LIFETIME_MS + 90 * 24 * 60 * 60 * 1000;
    await stores.devices.addDevice(deviceOf(userId, laterMs), conditions);
    assert.equal(await stores.devices.revokeDevice(userId, deviceId, laterMs), true);
    await stores.devices.addDevice(deviceOf(userId, laterMs + 1), conditions);
    assert.equal(await stores.devices.revokeDevice(userId, deviceId, laterMs), false);
  });
}

function rotationContract(open: Open): void {
  const rotate = (stores: AccountStores, deviceId: string, generation: number, nowMs: number) =>
    stores.devices.rotateToken(deviceId, nowMs, (snapshot) =>
      decideRotation(
        snapshot,
        {
          generation,
          tokenHash: hashOf(deviceId, generation),
          expireTimeMs: NOW_MS + LIFETIME_MS,
          successorHash: hashOf(deviceId, generation + 1),
        },
        { nowMs, lifetimeMs: LIFETIME_MS },
      ),
    );

  it("gives one successor to many calls at once", async () => {
    await using stores = await open();
    const [ada] = await addPeople(stores, "ada");
    const deviceId = ada?.first.device.deviceId ?? "";
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => rotate(stores, deviceId, 1, NOW_MS + 1000)),
    );
    const kinds = outcomes.map((outcome) => outcome.decision.kind);
    assert.equal(kinds.filter((kind) => kind === "rotate").length, 1);
    assert.equal(kinds.filter((kind) => kind === "repeat").length, 9);
    const issued = outcomes.map(({ decision }) => "issued" in decision && decision.issued);
    for (const token of issued) assert.deepEqual(token, issued[0]);
  });

  it("keeps what may be repeated, and revokes on reuse together with the outbox", async () => {
    await using stores = await open();
    const [ada] = await addPeople(stores, "ada");
    const userId = ada?.account.userId ?? "";
    const deviceId = ada?.first.device.deviceId ?? "";
    for (let generation = 1; generation <= 4; generation++) {
      const nowMs = NOW_MS + generation * 20_000;
      const { decision } = await rotate(stores, deviceId, generation, nowMs);
      assert.equal(decision.kind, "rotate");
    }
    const nowMs = NOW_MS + 120_000;
    assert.equal((await rotate(stores, deviceId, 3, nowMs)).decision.kind, "repeat");
    assert.deepEqual(await stores.devices.listRevocations(10), []);
    const reused = await rotate(stores, deviceId, 1, nowMs);
    assert.deepEqual(reused, { userId, decision: { kind: "reused" } });
    assert.deepEqual(await stores.devices.listRevocations(10), [{ userId, deviceId }]);
    assert.equal((await rotate(stores, deviceId, 5, nowMs)).decision.kind, "invalid");
  });

  it("decides about a device that does not exist", async () => {
    await using stores = await open();
    assert.equal((await rotate(stores, newUuid(), 1, NOW_MS)).decision.kind, "invalid");
  });

  it("writes nothing when deciding fails", async () => {
    await using stores = await open();
    const [ada] = await addPeople(stores, "ada");
    const deviceId = ada?.first.device.deviceId ?? "";
    const failing = stores.devices.rotateToken(deviceId, NOW_MS, () => {
      throw new Error("undecided");
    });
    await assert.rejects(failing, /undecided/);
    assert.equal((await rotate(stores, deviceId, 1, NOW_MS)).decision.kind, "rotate");
  });
}

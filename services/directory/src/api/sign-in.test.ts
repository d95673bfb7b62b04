import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { createSqlAccountStore } from "../embedded/sql-account-store.ts";
import { openSqliteDatabase } from "../embedded/sqlite-database.ts";
import { createAccountFixture, DEVICE, PASSWORD } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("SignIn makes another device each time, in any case of the username", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const request = { username: "GRACE", password: PASSWORD, device: DEVICE };
  const first = await fixture.anybody.signIn(request);
  const second = await fixture.anybody.signIn(request);
  assert.equal(first.user?.userId, grace.userId);
  assert.equal(new Set([grace.deviceId, first.deviceId, second.deviceId]).size, 3);
  assert.notEqual(first.tokens?.refreshToken, second.tokens?.refreshToken);
  const { devices } = await grace.account.listDevices({});
  assert.equal(devices.length, 3);
});

test("SignIn refuses a wrong username and a wrong password alike", async () => {
  await using fixture = await createAccountFixture();
  await fixture.person("grace");
  const signIn = (username: string, password: string) =>
    refusedWith(fixture.anybody.signIn({ username, password, device: DEVICE }), "BAD_CREDENTIALS");
  const wrongPassword = await signIn("grace", "wrong horse battery");
  const wrongUsername = await signIn("nobody", PASSWORD);
  assert.equal(wrongPassword.code, Code.Unauthenticated);
  assert.equal(wrongUsername.code, wrongPassword.code);
  assert.equal(wrongUsername.rawMessage, wrongPassword.rawMessage);
});

test("SignIn never passes 16 devices, however many come at once", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const request = { username: "grace", password: PASSWORD, device: DEVICE };
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, () => fixture.anybody.signIn(request)),
  );
  assert.equal(outcomes.filter((outcome) => outcome.status === "fulfilled").length, 15);
  const error = await refusedWith(fixture.anybody.signIn(request), "DEVICE_LIMIT");
  assert.equal(error.code, Code.FailedPrecondition);
  await grace.account.signOut({});
  await fixture.anybody.signIn(request);
});

test("devices whose tokens have expired do not count", async () => {
  await using fixture = await createAccountFixture();
  await fixture.person("grace");
  const request = { username: "grace", password: PASSWORD, device: DEVICE };
  for (let index = 0; index < 15; index++) await fixture.anybody.signIn(request);
  await refusedWith(fixture.anybody.signIn(request), "DEVICE_LIMIT");
  fixture.clock.advance(30 * 24 * 60 * 60 * 1000);
  const { user, deviceId } = await fixture.anybody.signIn(request);
  const { devices } = await fixture.as(user?.userId ?? "", deviceId).account.listDevices({});
  assert.deepEqual(
    devices.map((device) => device.deviceId),
    [deviceId],
  );
});

test("SignIn is limited per username, known or not", async () => {
  const attempts = { burst: 3, perMinute: 6 };
  await using fixture = await createAccountFixture({ config: { attempts } });
  for (const username of ["grace", "nobody"]) {
    const request = { username, password: "wrong horse battery", device: DEVICE };
    for (let index = 0; index < 3; index++) {
      await refusedWith(fixture.anybody.signIn(request), "BAD_CREDENTIALS");
    }
    await refusedWith(fixture.anybody.signIn(request), "RATE_LIMITED");
  }
});

test("an account survives a restart", async () => {
  await using fixture = await createAccountFixture();
  await fixture.person("grace");
  await fixture.restart();
  const request = { username: "grace", password: PASSWORD, device: DEVICE };
  assert.equal((await fixture.anybody.signIn(request)).user?.username, "grace");
});

const CHEAP = { memoryKib: 64, passes: 1, parallelism: 1, concurrencyMax: 2, waitingMax: 256 };

/** The parameters of somebody's hash, as they are stored. */
async function parametersOf(databasePath: string, username: string) {
  await using database = await openSqliteDatabase({ path: databasePath });
  const found = await createSqlAccountStore(database).findByUsername(username);
  return found?.passwordHash?.split("$")[3];
}

test("the next SignIn makes the hash again where the operator has changed what it costs", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const request = { username: "grace", password: PASSWORD, device: DEVICE };
  const wrong = { ...request, password: "wrong horse battery" };
  await fixture.restart(undefined, { passwordHashing: { ...CHEAP, passes: 2 } });
  await refusedWith(fixture.anybody.signIn(wrong), "BAD_CREDENTIALS");
  assert.equal(await parametersOf(fixture.databasePath, "grace"), "m=64,t=1,p=1");
  await fixture.anybody.signIn(request);
  assert.equal(await parametersOf(fixture.databasePath, "grace"), "m=64,t=2,p=1");
  await fixture.anybody.signIn(request);
  await refusedWith(fixture.anybody.signIn(wrong), "BAD_CREDENTIALS");
  const account = fixture.as(grace.userId, grace.deviceId).account;
  assert.equal((await account.listDevices({})).devices.length, 3, "nobody was signed out");
});

test("people who sign in or change the password while the hash is made again are not refused", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  await fixture.restart(undefined, {
    passwordHashing: { ...CHEAP, passes: 2, concurrencyMax: 1 },
  });
  const request = { username: "grace", password: PASSWORD, device: DEVICE };
  await Promise.all(Array.from({ length: 8 }, () => fixture.anybody.signIn(request)));
  await fixture.restart(undefined, {
    passwordHashing: { ...CHEAP, passes: 3, concurrencyMax: 1 },
  });
  const { account } = fixture.as(grace.userId, grace.deviceId);
  const newPassword = "another horse battery";
  await Promise.all([
    fixture.anybody.signIn(request),
    account.changePassword({ currentPassword: PASSWORD, newPassword }),
  ]);
  await fixture.anybody.signIn({ ...request, password: newPassword });
});

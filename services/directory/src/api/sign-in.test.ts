import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
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

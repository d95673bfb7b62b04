import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { createAccountFixture, DEVICE, PASSWORD } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

const NEW_PASSWORD = "another horse battery";

test("ChangePassword changes it and signs every other device out", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const signIn = (password: string) =>
    fixture.anybody.signIn({ username: "grace", password, device: DEVICE });
  const others = [await signIn(PASSWORD), await signIn(PASSWORD)];
  await grace.account.changePassword({ currentPassword: PASSWORD, newPassword: NEW_PASSWORD });
  assert.deepEqual(
    fixture.fanout.revoked.flatMap((request) => request.deviceIds).sort(),
    others.map((other) => other.deviceId).sort(),
  );
  for (const other of others) {
    const refreshToken = other.tokens?.refreshToken ?? "";
    await refusedWith(fixture.anybody.refreshTokens({ refreshToken }), "REFRESH_TOKEN_INVALID");
  }
  await fixture.anybody.refreshTokens({ refreshToken: grace.tokens.refreshToken });
  await refusedWith(signIn(PASSWORD), "BAD_CREDENTIALS");
  await signIn(NEW_PASSWORD);
});

test("ChangePassword refuses a wrong current password", async () => {
  await using fixture = await createAccountFixture();
  const { account } = await fixture.person("grace");
  const error = await refusedWith(
    account.changePassword({ currentPassword: "wrong", newPassword: NEW_PASSWORD }),
    "BAD_CREDENTIALS",
  );
  assert.equal(error.code, Code.PermissionDenied);
});

test("one of two changes at once wins", async () => {
  await using fixture = await createAccountFixture();
  const { account } = await fixture.person("grace");
  const change = (newPassword: string) =>
    account.changePassword({ currentPassword: PASSWORD, newPassword });
  const passwords = [`${NEW_PASSWORD} 1`, `${NEW_PASSWORD} 2`];
  const outcomes = await Promise.allSettled(passwords.map(change));
  assert.deepEqual(outcomes.map((outcome) => outcome.status).sort(), ["fulfilled", "rejected"]);
});

test("a device that was signed out cannot change the password", async () => {
  await using fixture = await createAccountFixture();
  const { account } = await fixture.person("grace");
  await account.signOut({});
  await refusedWith(
    account.changePassword({ currentPassword: PASSWORD, newPassword: NEW_PASSWORD }),
    "DEVICE_REVOKED",
  );
});

test("ChangePassword is limited", async () => {
  const attempts = { burst: 2, perMinute: 6 };
  await using fixture = await createAccountFixture({ config: { attempts } });
  const { account } = await fixture.person("grace");
  const request = { currentPassword: "wrong", newPassword: NEW_PASSWORD };
  await refusedWith(account.changePassword(request), "BAD_CREDENTIALS");
  await refusedWith(account.changePassword(request), "BAD_CREDENTIALS");
  await refusedWith(account.changePassword(request), "RATE_LIMITED");
});

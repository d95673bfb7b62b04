import assert from "node:assert/strict";
import { test } from "node:test";
import { createAccountFixture } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("SignOut revokes the calling device and ends its sessions, and may be repeated", async () => {
  await using fixture = await createAccountFixture();
  const { account, userId, deviceId, tokens } = await fixture.person("grace");
  await account.signOut({});
  await account.signOut({});
  assert.deepEqual(
    fixture.fanout.revoked.map((request) => [request.userId, request.deviceIds]),
    [[userId, [deviceId]]],
  );
  const { refreshToken } = tokens;
  await refusedWith(fixture.anybody.refreshTokens({ refreshToken }), "REFRESH_TOKEN_INVALID");
  const { revokedDeviceIds } = await fixture.internal.checkDevices({ deviceIds: [deviceId] });
  assert.deepEqual(revokedDeviceIds, [deviceId]);
});

test("SignOut succeeds while the fan-out is down, and the sessions end later", async () => {
  await using fixture = await createAccountFixture();
  const { account, deviceId } = await fixture.person("grace");
  fixture.fanout.failing = true;
  await account.signOut({});
  assert.equal(fixture.fanout.revoked.length, 0);
  fixture.fanout.failing = false;
  await fixture.fanout.arrived(1);
  assert.deepEqual(fixture.fanout.revoked[0]?.deviceIds, [deviceId]);
});

test("sessions that a process did not end are ended by the next one", async () => {
  await using fixture = await createAccountFixture();
  const { account, deviceId } = await fixture.person("grace");
  fixture.fanout.failing = true;
  await account.signOut({});
  await fixture.restart();
  fixture.fanout.failing = false;
  await fixture.fanout.arrived(1);
  assert.deepEqual(fixture.fanout.revoked[0]?.deviceIds, [deviceId]);
});

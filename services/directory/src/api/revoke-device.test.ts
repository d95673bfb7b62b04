import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { newUuid } from "@parley/platform/ids";
import { createAccountFixture, DEVICE, PASSWORD } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("RevokeDevice signs another device out, and may be repeated", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const other = await fixture.anybody.signIn({
    username: "grace",
    password: PASSWORD,
    device: DEVICE,
  });
  await grace.account.revokeDevice({ deviceId: other.deviceId });
  await grace.account.revokeDevice({ deviceId: other.deviceId });
  assert.deepEqual(
    fixture.fanout.revoked.map((request) => request.deviceIds),
    [[other.deviceId]],
  );
  const refreshToken = other.tokens?.refreshToken ?? "";
  await refusedWith(fixture.anybody.refreshTokens({ refreshToken }), "REFRESH_TOKEN_INVALID");
  await fixture.anybody.refreshTokens({ refreshToken: grace.tokens.refreshToken });
});

test("RevokeDevice does not find what is not the caller's", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  for (const deviceId of [ada.deviceId, newUuid()]) {
    const error = await refusedWith(grace.account.revokeDevice({ deviceId }), "DEVICE_NOT_FOUND");
    assert.equal(error.code, Code.NotFound);
  }
  await fixture.anybody.refreshTokens({ refreshToken: ada.tokens.refreshToken });
});

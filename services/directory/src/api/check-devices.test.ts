import assert from "node:assert/strict";
import { test } from "node:test";
import { newUuid } from "@parley/platform/ids";
import { createAccountFixture } from "../testing/account-fixture.ts";

test("CheckDevices names revoked, expired and unknown devices", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  const ada = await fixture.person("ada");
  const unknown = newUuid();
  const check = async () => {
    const deviceIds = [grace.deviceId, ada.deviceId, unknown, "no id"];
    const { revokedDeviceIds } = await fixture.internal.checkDevices({ deviceIds });
    return new Set(revokedDeviceIds);
  };
  assert.deepEqual(await check(), new Set([unknown, "no id"]));
  await grace.account.signOut({});
  assert.deepEqual(await check(), new Set([grace.deviceId, unknown, "no id"]));
  fixture.clock.advance(30 * 24 * 60 * 60 * 1000);
  assert.deepEqual(await check(), new Set([grace.deviceId, ada.deviceId, unknown, "no id"]));
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { DevicePlatform } from "@parley/gen/parley/account/v1/account_pb";
import { createAccountFixture, PASSWORD } from "../testing/account-fixture.ts";

test("ListDevices lists the caller's own devices, newest first", async () => {
  await using fixture = await createAccountFixture();
  const grace = await fixture.person("grace");
  await fixture.person("ada");
  const startMs = fixture.clock.nowMs();
  fixture.clock.advance(1000);
  const device = { name: "Phone", platform: DevicePlatform.MOBILE };
  const second = await fixture.anybody.signIn({ username: "grace", password: PASSWORD, device });
  const { devices } = await grace.account.listDevices({});
  assert.deepEqual(
    devices.map((entry) => ({
      deviceId: entry.deviceId,
      platform: entry.platform,
      createTimeMs: entry.createTime && timestampMs(entry.createTime),
      current: entry.current,
    })),
    [
      {
        deviceId: second.deviceId,
        platform: DevicePlatform.MOBILE,
        createTimeMs: startMs + 1000,
        current: false,
      },
      {
        deviceId: grace.deviceId,
        platform: DevicePlatform.NODE,
        createTimeMs: startMs,
        current: true,
      },
    ],
  );
});

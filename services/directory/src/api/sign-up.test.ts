import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { retryAfterMsOf } from "@parley/platform/errors";
import { createAccountFixture, DEVICE, PASSWORD } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

test("SignUp creates an account and signs its first device in", async () => {
  await using fixture = await createAccountFixture();
  const answer = await fixture.anybody.signUp({
    username: "Ada.Lovelace",
    password: PASSWORD,
    displayName: "  Ada\nLovelace ",
    device: DEVICE,
  });
  assert.equal(answer.user?.username, "ada.lovelace");
  assert.equal(answer.user.displayName, "Ada Lovelace");
  assert.ok(answer.user.createTime !== undefined);
  assert.equal(timestampMs(answer.user.createTime), fixture.clock.nowMs());
  const { account } = fixture.as(answer.user.userId, answer.deviceId);
  const own = await account.getAccount({});
  assert.equal(own.user?.userId, answer.user.userId);
  assert.equal(own.deviceId, answer.deviceId);
  const { devices } = await account.listDevices({});
  assert.deepEqual(
    devices.map((device) => [device.deviceId, device.name, device.current]),
    [[answer.deviceId, DEVICE.name, true]],
  );
});

test("SignUp shows the username when there is no display name", async () => {
  await using fixture = await createAccountFixture();
  const { user } = await fixture.person("grace", " \u0000 ");
  assert.equal(user.displayName, "grace");
});

test("SignUp refuses a taken username in any case", async () => {
  await using fixture = await createAccountFixture();
  await fixture.person("grace");
  const error = await refusedWith(fixture.person("GRACE"), "USERNAME_TAKEN");
  assert.equal(error.code, Code.AlreadyExists);
});

test("one of many SignUps with the same username at once succeeds", async () => {
  await using fixture = await createAccountFixture();
  const outcomes = await Promise.allSettled(
    Array.from({ length: 12 }, () => fixture.person("grace")),
  );
  assert.equal(outcomes.filter((outcome) => outcome.status === "fulfilled").length, 1);
});

test("SignUp is refused where it is closed", async () => {
  await using fixture = await createAccountFixture({ config: { signUpOpen: false } });
  const error = await refusedWith(fixture.person("grace"), "SIGN_UP_CLOSED");
  assert.equal(error.code, Code.FailedPrecondition);
});

test("SignUp is limited per username", async () => {
  const attempts = { burst: 2, perMinute: 6 };
  await using fixture = await createAccountFixture({ config: { attempts } });
  await fixture.person("grace");
  await refusedWith(fixture.person("grace"), "USERNAME_TAKEN");
  const error = await refusedWith(fixture.person("grace"), "RATE_LIMITED");
  assert.equal(error.code, Code.ResourceExhausted);
  assert.equal(retryAfterMsOf(error), 10_000);
  await fixture.person("ada");
  fixture.clock.advance(10_000);
  await refusedWith(fixture.person("grace"), "USERNAME_TAKEN");
});

test("SignUp names the field that breaks the contract", async () => {
  await using fixture = await createAccountFixture();
  for (const username of ["ab", "1abc", "a b c", "a".repeat(33)]) {
    const error = await refusedWith(fixture.person(username), "INVALID_FIELD");
    assert.match(error.rawMessage, /username/);
  }
  const request = { username: "grace", password: "short", device: DEVICE };
  const error = await refusedWith(fixture.anybody.signUp(request), "INVALID_FIELD");
  assert.match(error.rawMessage, /password/);
});

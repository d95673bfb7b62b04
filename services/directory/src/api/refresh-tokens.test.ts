import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import type { Tokens } from "@parley/gen/parley/account/v1/account_pb";
import { type AccountFixture, createAccountFixture } from "../testing/account-fixture.ts";
import { refusedWith } from "../testing/refusals.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

async function refresh(fixture: AccountFixture, refreshToken: string): Promise<Tokens> {
  const { tokens } = await fixture.anybody.refreshTokens({ refreshToken });
  assert.ok(tokens !== undefined);
  return tokens;
}

test("RefreshTokens replaces both tokens and moves the expiry", async () => {
  await using fixture = await createAccountFixture();
  const { tokens: before, account } = await fixture.person("grace");
  fixture.clock.advance(14 * MINUTE_MS);
  const after = await refresh(fixture, before.refreshToken);
  assert.notEqual(after.accessToken, before.accessToken);
  assert.notEqual(after.refreshToken, before.refreshToken);
  assert.ok(after.accessExpireTime !== undefined && after.refreshExpireTime !== undefined);
  const nowMs = fixture.clock.nowMs();
  assert.equal(timestampMs(after.accessExpireTime), nowMs + 15 * MINUTE_MS);
  assert.equal(timestampMs(after.refreshExpireTime), nowMs + 30 * DAY_MS);
  const { devices } = await account.listDevices({});
  const refreshed = devices[0]?.lastRefreshTime;
  assert.equal(refreshed && timestampMs(refreshed), nowMs);
});

test("a repetition within 60 seconds gives the same tokens, also from another process", async () => {
  await using fixture = await createAccountFixture();
  const { tokens } = await fixture.person("grace");
  fixture.clock.advance(MINUTE_MS);
  const first = await refresh(fixture, tokens.refreshToken);
  fixture.clock.advance(59_999);
  assert.deepEqual(await refresh(fixture, tokens.refreshToken), first);
  await fixture.restart();
  assert.deepEqual(await refresh(fixture, tokens.refreshToken), first);
});

test("a repetition gives the same successor although that one has been used meanwhile", async () => {
  await using fixture = await createAccountFixture();
  const { tokens } = await fixture.person("grace");
  const second = await refresh(fixture, tokens.refreshToken);
  fixture.clock.advance(20_000);
  const third = await refresh(fixture, second.refreshToken);
  fixture.clock.advance(20_000);
  assert.deepEqual(await refresh(fixture, tokens.refreshToken), second);
  assert.deepEqual(await refresh(fixture, second.refreshToken), third);
});

test("ten calls at once with one token get one successor", async () => {
  await using fixture = await createAccountFixture();
  const { tokens } = await fixture.person("grace");
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => refresh(fixture, tokens.refreshToken)),
  );
  assert.equal(new Set(answers.map((answer) => answer.refreshToken)).size, 1);
  assert.equal(new Set(answers.map((answer) => answer.accessToken)).size, 1);
  await refresh(fixture, answers[0]?.refreshToken ?? "");
});

test("a later reuse signs the device out and ends its sessions", async () => {
  await using fixture = await createAccountFixture();
  const { tokens, userId, deviceId } = await fixture.person("grace");
  const successor = await refresh(fixture, tokens.refreshToken);
  fixture.clock.advance(60_001);
  const error = await refusedWith(refresh(fixture, tokens.refreshToken), "REFRESH_TOKEN_REUSED");
  assert.equal(error.code, Code.Unauthenticated);
  assert.deepEqual(
    fixture.fanout.revoked.map((request) => [request.userId, request.deviceIds]),
    [[userId, [deviceId]]],
  );
  await refusedWith(refresh(fixture, successor.refreshToken), "REFRESH_TOKEN_INVALID");
  const { revokedDeviceIds } = await fixture.internal.checkDevices({ deviceIds: [deviceId] });
  assert.deepEqual(revokedDeviceIds, [deviceId]);
});

test("a reuse is noticed however many refreshes lie between", async () => {
  await using fixture = await createAccountFixture();
  const { tokens } = await fixture.person("grace");
  let newest = tokens;
  for (let index = 0; index < 5; index++) {
    fixture.clock.advance(2 * MINUTE_MS);
    newest = await refresh(fixture, newest.refreshToken);
  }
  await refusedWith(refresh(fixture, tokens.refreshToken), "REFRESH_TOKEN_REUSED");
  await refusedWith(refresh(fixture, newest.refreshToken), "REFRESH_TOKEN_INVALID");
});

test("an expired token is invalid, and one that was used before it expired too", async () => {
  await using fixture = await createAccountFixture();
  const { tokens, deviceId } = await fixture.person("grace");
  fixture.clock.advance(20 * DAY_MS);
  const newer = await refresh(fixture, tokens.refreshToken);
  fixture.clock.advance(10 * DAY_MS);
  await refusedWith(refresh(fixture, tokens.refreshToken), "REFRESH_TOKEN_INVALID");
  const { revokedDeviceIds } = await fixture.internal.checkDevices({ deviceIds: [deviceId] });
  assert.deepEqual(revokedDeviceIds, [], "an expired token signs nobody out");
  fixture.clock.advance(20 * DAY_MS);
  await refusedWith(refresh(fixture, newer.refreshToken), "REFRESH_TOKEN_INVALID");
});

test("a made-up or altered token is invalid and signs nobody out", async () => {
  await using fixture = await createAccountFixture();
  const { tokens } = await fixture.person("grace");
  const bytes = Buffer.from(tokens.refreshToken, "base64url");
  // One byte of each field; that any byte counts is tested where tokens are read.
  const altered = [0, 1, 17, 21, 25, 57].map((index) => {
    const copy = Buffer.from(bytes);
    copy[index] = (copy[index] ?? 0) ^ 1;
    return copy.toString("base64url");
  });
  for (const refreshToken of ["x", "A".repeat(98), ...altered]) {
    await refusedWith(refresh(fixture, refreshToken), "REFRESH_TOKEN_INVALID");
  }
  await refresh(fixture, tokens.refreshToken);
});

test("refreshes of one device are limited", async () => {
  await using fixture = await createAccountFixture();
  const { tokens } = await fixture.person("grace");
  let newest = tokens;
  for (let index = 0; index < 30; index++) newest = await refresh(fixture, newest.refreshToken);
  await refusedWith(refresh(fixture, newest.refreshToken), "RATE_LIMITED");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from "jose";
import { type AccountFixture, createAccountFixture } from "../testing/account-fixture.ts";

async function verify(fixture: AccountFixture, accessToken: string) {
  const { jwksJson, issuer } = await fixture.internal.getVerificationKeys({});
  const keys = createLocalJWKSet(JSON.parse(jwksJson));
  const currentDate = new Date(fixture.clock.nowMs());
  return await jwtVerify(accessToken, keys, { issuer, algorithms: ["EdDSA"], currentDate });
}

test("GetVerificationKeys gives what access tokens verify with, also after a restart", async () => {
  await using fixture = await createAccountFixture({ config: { issuer: "chat.example" } });
  const { userId, deviceId, tokens } = await fixture.person("grace");
  await fixture.restart();
  const { payload } = await verify(fixture, tokens.accessToken);
  const iat = Math.floor(fixture.clock.nowMs() / 1000);
  assert.deepEqual(payload, {
    iss: "chat.example",
    sub: userId,
    did: deviceId,
    iat,
    exp: iat + 15 * 60,
  });
  fixture.clock.advance(15 * 60_000);
  await assert.rejects(verify(fixture, tokens.accessToken), /exp/);
});

test("GetVerificationKeys shows no private key", async () => {
  await using fixture = await createAccountFixture();
  const { jwksJson } = await fixture.internal.getVerificationKeys({});
  const { keys } = JSON.parse(jwksJson);
  assert.equal(keys.length, 1);
  assert.deepEqual(Object.keys(keys[0]).sort(), ["alg", "crv", "kid", "kty", "use", "x"]);
});

test("a configured key signs beside the stored one", async () => {
  const pair = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const signingKeyJson = JSON.stringify(await exportJWK(pair.privateKey));
  await using fixture = await createAccountFixture({ config: { signingKeyJson } });
  const { tokens } = await fixture.person("grace");
  const { protectedHeader } = await verify(fixture, tokens.accessToken);
  const { jwksJson } = await fixture.internal.getVerificationKeys({});
  const kids = JSON.parse(jwksJson).keys.map((key: { kid: string }) => key.kid);
  assert.equal(kids.length, 2);
  assert.equal(kids[0], protectedHeader.kid);
});

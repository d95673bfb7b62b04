import assert from "node:assert/strict";
import { test } from "node:test";
import { createAccessTokenSigner, SigningKeyError } from "./access-token-signer.ts";
import type { ServerKeyStore } from "./account-ports.ts";

const NOW_MS = 1_767_225_600_000;

/** Keys in memory: the store's contract is tested elsewhere. */
function createKeys(): ServerKeyStore {
  const values = new Map<string, string>();
  return {
    async readOrCreate(name, proposed) {
      const value = values.get(name) ?? proposed;
      values.set(name, value);
      return value;
    },
  };
}

const claims = {
  userId: "user",
  deviceId: "device",
  issueTimeMs: NOW_MS + 999,
  expireTimeMs: NOW_MS + 900_000,
};

test("the same claims give the same token, from any process with the same store", async () => {
  const options = { issuer: "here", signingKeyJson: undefined, keys: createKeys(), nowMs: NOW_MS };
  const one = await createAccessTokenSigner(options);
  const two = await createAccessTokenSigner(options);
  assert.equal(await one.sign(claims), await two.sign(claims));
  assert.equal(one.jwksJson, two.jwksJson);
  const [header = "", payload = ""] = (await one.sign(claims)).split(".");
  const read = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString());
  const [key] = JSON.parse(one.jwksJson).keys;
  assert.deepEqual(read(header), { alg: "EdDSA", kid: key.kid, typ: "JWT" });
  assert.deepEqual(read(payload), {
    iss: "here",
    sub: "user",
    did: "device",
    iat: NOW_MS / 1000,
    exp: NOW_MS / 1000 + 900,
  });
});

test("a configured key that is none is refused, without showing it", async () => {
  const publicOnly = JSON.stringify({ kty: "OKP", crv: "Ed25519", x: "AAAA" });
  const malformed = JSON.stringify({ kty: "OKP", crv: "Ed25519", x: "AAAA", d: "secret" });
  for (const signingKeyJson of ["secret text", "3", publicOnly, '{"kty":"RSA"}', malformed]) {
    const options = { issuer: "here", signingKeyJson, keys: createKeys(), nowMs: NOW_MS };
    await assert.rejects(createAccessTokenSigner(options), (error) => {
      assert.ok(error instanceof SigningKeyError);
      assert.match(error.message, /^PARLEY_DIRECTORY_SIGNING_KEY /);
      assert.doesNotMatch(error.message, /secret|AAAA/);
      return true;
    });
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "@parley/platform/clock";
import { exportJWK, generateKeyPair } from "jose";
import { createAccessTokenSigner, SigningKeyError } from "./access-token-signer.ts";
import type { AccessTokenSigner, ServerKeyStore } from "./account-ports.ts";

const NOW_MS = 1_767_225_600_000;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Keys in memory: the store's contract is tested elsewhere. */
function createKeys(): ServerKeyStore & { readonly names: () => string[] } {
  const values = new Map<string, { value: string; createTimeMs: number }>();
  return {
    names: () => [...values.keys()],
    async readOrCreate(name, proposed, nowMs) {
      const found = values.get(name) ?? { value: proposed, createTimeMs: nowMs };
      values.set(name, found);
      return found.value;
    },
    async list(prefix) {
      const found = [...values].filter(([name]) => name.startsWith(prefix));
      return found.map(([name, value]) => ({ name, ...value }));
    },
    async delete(names) {
      for (const name of names) values.delete(name);
    },
  };
}

function optionsOf(keys = createKeys(), clock = createManualClock(NOW_MS)) {
  const policy = { rotateAfterMs: DAY_MS, accessMs: HOUR_MS, distrustBeforeMs: 0 };
  return { issuer: "here", signingKeyJson: undefined, policy, keys, clock };
}

async function kidsOf(signer: AccessTokenSigner): Promise<string[]> {
  const { keys } = JSON.parse(await signer.readJwksJson()) as { keys: { kid: string }[] };
  return keys.map(({ kid }) => kid);
}

function kidOf(token: string): string {
  return JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).kid;
}

const claims = {
  userId: "user",
  deviceId: "device",
  issueTimeMs: NOW_MS + 999,
  expireTimeMs: NOW_MS + 900_000,
};

test("the same claims give the same token, from any process with the same store", async () => {
  const options = optionsOf();
  const one = await createAccessTokenSigner(options);
  const two = await createAccessTokenSigner(options);
  assert.equal(await one.sign(claims), await two.sign(claims));
  assert.equal(await one.readJwksJson(), await two.readJwksJson());
  const [header = "", payload = ""] = (await one.sign(claims)).split(".");
  const read = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString());
  const [key] = JSON.parse(await one.readJwksJson()).keys;
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
    const options = { ...optionsOf(), signingKeyJson };
    await assert.rejects(createAccessTokenSigner(options), (error) => {
      assert.ok(error instanceof SigningKeyError);
      assert.match(error.message, /^PARLEY_DIRECTORY_SIGNING_KEY /);
      assert.doesNotMatch(error.message, /secret|AAAA/);
      return true;
    });
  }
});

test("an old key is replaced by one that everybody knows first, and forgotten with its last token", async () => {
  const keys = createKeys();
  const clock = createManualClock(NOW_MS);
  const one = await createAccessTokenSigner(optionsOf(keys, clock));
  const other = await createAccessTokenSigner(optionsOf(keys, clock));
  const signed = (signer: AccessTokenSigner, issueTimeMs = clock.nowMs()) =>
    signer.sign({ ...claims, issueTimeMs, expireTimeMs: issueTimeMs + HOUR_MS });
  const first = kidOf(await signed(one));
  clock.advance(DAY_MS);
  assert.equal(kidOf(await signed(one)), first, "the new key is made, and does not sign yet");
  const [second = ""] = await kidsOf(other);
  assert.notEqual(second, first);
  assert.deepEqual(await kidsOf(one), [second, first], "another process's key is accepted");
  const issueTimeMs = clock.nowMs();
  clock.advance(120_000);
  assert.equal(kidOf(await signed(one)), second);
  assert.equal(kidOf(await signed(other)), second);
  assert.equal(await signed(other, issueTimeMs), await signed(one, issueTimeMs));
  assert.equal(kidOf(await signed(other, issueTimeMs)), first, "a repetition gives the same token");
  clock.advance(HOUR_MS);
  assert.deepEqual(await kidsOf(one), [second, first], "the first one's last token may still come");
  clock.advance(120_000);
  assert.deepEqual(await kidsOf(one), [second]);
  assert.deepEqual(keys.names(), ["access-token-signing-2"]);
  const restarted = await createAccessTokenSigner(optionsOf(keys, clock));
  assert.equal(kidOf(await signed(restarted)), second);
});

test("a key of before the operator's time is not believed, and a new one signs at once", async () => {
  const keys = createKeys();
  const clock = createManualClock(NOW_MS);
  const before = await createAccessTokenSigner(optionsOf(keys, clock));
  const [leaked] = await kidsOf(before);
  clock.advance(1000);
  const options = optionsOf(keys, clock);
  const policy = { ...options.policy, distrustBeforeMs: clock.nowMs() };
  const after = await createAccessTokenSigner({ ...options, policy });
  const [fresh, ...others] = await kidsOf(after);
  assert.notEqual(fresh, leaked);
  assert.deepEqual(others, []);
  assert.equal(kidOf(await after.sign({ ...claims, issueTimeMs: clock.nowMs() })), fresh);
  clock.advance(60_000);
  const late = await before.sign({ ...claims, issueTimeMs: clock.nowMs() });
  assert.equal(kidOf(late), fresh, "a process that was not restarted follows within a minute");
});

test("a configured key signs; stored ones are accepted until their tokens have expired", async () => {
  const keys = createKeys();
  const clock = createManualClock(NOW_MS);
  const [stored] = await kidsOf(await createAccessTokenSigner(optionsOf(keys, clock)));
  const pair = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const signingKeyJson = JSON.stringify(await exportJWK(pair.privateKey));
  const signer = await createAccessTokenSigner({ ...optionsOf(keys, clock), signingKeyJson });
  const configured = kidOf(await signer.sign(claims));
  assert.deepEqual(await kidsOf(signer), [configured, stored]);
  clock.advance(HOUR_MS + 60_000);
  assert.deepEqual(await kidsOf(signer), [configured]);
  clock.advance(10 * DAY_MS);
  assert.deepEqual(
    keys.names(),
    ["access-token-signing"],
    "keys that do not sign are not replaced",
  );
});

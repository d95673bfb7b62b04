import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { newUuid } from "@parley/platform/ids";
import fc from "fast-check";
import {
  deriveRefreshTokenKeys,
  formatRefreshToken,
  hashRefreshSecret,
  parseRefreshToken,
  type RefreshToken,
  successorSecretOf,
} from "./refresh-token.ts";

const keys = deriveRefreshTokenKeys(new Uint8Array(32).fill(7));

const anyToken = fc.record(
  {
    deviceId: fc.uuid(),
    generation: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    expireTimeMs: fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((seconds) => seconds * 1000),
    secret: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  },
  { noNullPrototype: true },
);

test("a token is read as it was written, and fits into the contract's 512 characters", () => {
  fc.assert(
    fc.property(anyToken, (token) => {
      const text = formatRefreshToken(token, keys);
      assert.equal(text.length, 98);
      assert.deepEqual(parseRefreshToken(text, keys), token);
    }),
  );
});

test("a token of other keys, or with any other byte, is none", () => {
  const token: RefreshToken = {
    deviceId: newUuid(),
    generation: 3,
    expireTimeMs: 1_767_225_600_000,
    secret: new Uint8Array(randomBytes(32)),
  };
  const bytes = Buffer.from(formatRefreshToken(token, keys), "base64url");
  const otherKeys = deriveRefreshTokenKeys(new Uint8Array(32).fill(8));
  assert.equal(parseRefreshToken(bytes.toString("base64url"), otherKeys), undefined);
  for (let index = 0; index < bytes.length; index++) {
    const altered = Buffer.from(bytes);
    altered[index] = (altered[index] ?? 0) ^ 0x80;
    assert.equal(parseRefreshToken(altered.toString("base64url"), keys), undefined);
  }
  assert.equal(parseRefreshToken(bytes.subarray(1).toString("base64url"), keys), undefined);
  assert.equal(parseRefreshToken("", keys), undefined);
});

test("a successor is the same each time, and needs the server's key", () => {
  fc.assert(
    fc.property(anyToken, (token) => {
      const successor = successorSecretOf(token, keys);
      assert.deepEqual(successorSecretOf(token, keys), successor);
      const otherKeys = deriveRefreshTokenKeys(new Uint8Array(32).fill(8));
      assert.notDeepEqual(successorSecretOf(token, otherKeys), successor);
      assert.notEqual(hashRefreshSecret(successor), hashRefreshSecret(token.secret));
    }),
  );
});

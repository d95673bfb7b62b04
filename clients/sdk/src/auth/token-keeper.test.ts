import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { type Tokens, TokensSchema } from "@parley/gen/parley/account/v1/account_pb";
import { createDeferred } from "../async/deferred.ts";
import { ParleyError } from "../errors.ts";
import type { StoredAccount } from "../storage/client-storage.ts";
import { createMemoryStorage } from "../storage/memory-storage.ts";
import { createTokenKeeper } from "./token-keeper.ts";

const NOW = 1_000_000;
const MARGIN_MS = 30_000;

function account(number: number, accessExpireMs: number): StoredAccount {
  return {
    userId: "ana",
    deviceId: "device",
    username: "ana",
    accessToken: `access ${number}`,
    accessExpireMs,
    refreshToken: `refresh ${number}`,
    refreshExpireMs: NOW * 2,
  };
}

function tokens(number: number): Tokens {
  return create(TokensSchema, {
    accessToken: `access ${number}`,
    accessExpireTime: timestampFromMs(NOW + 900_000),
    refreshToken: `refresh ${number}`,
    refreshExpireTime: timestampFromMs(NOW * 2),
  });
}

function createSubject(refreshTokens: (refreshToken: string) => Promise<Tokens>) {
  const storage = createMemoryStorage();
  const signedOut: string[] = [];
  const keeper = createTokenKeeper({
    storage,
    refreshTokens,
    now: () => NOW,
    marginMs: MARGIN_MS,
    onSignedOut: (reason) => signedOut.push(reason),
  });
  return { storage, keeper, signedOut };
}

describe("TokenKeeper", () => {
  it("uses a token until shortly before it expires", async () => {
    const { keeper } = createSubject(() => assert.fail("no refresh"));
    await keeper.keep(account(1, NOW + MARGIN_MS + 1));
    assert.equal(await keeper.accessToken(), "access 1");
  });

  it("refreshes once for all callers, and stores the successor before anybody uses it", async () => {
    const answer = createDeferred<Tokens>();
    const used: string[] = [];
    const { keeper, storage } = createSubject((refreshToken) => {
      used.push(refreshToken);
      return answer.promise;
    });
    await keeper.keep(account(1, NOW + MARGIN_MS));
    const calls = Array.from({ length: 5 }, () =>
      keeper
        .accessToken()
        .then(async (token) => [token, (await storage.readAccount())?.refreshToken]),
    );
    answer.resolve(tokens(2));
    for (const call of calls) assert.deepEqual(await call, ["access 2", "refresh 2"]);
    assert.deepEqual(used, ["refresh 1"]);
    assert.equal(keeper.account?.refreshToken, "refresh 2");
  });

  it("replaces a token that was refused, though it looks fresh", async () => {
    const { keeper } = createSubject(async () => tokens(2));
    await keeper.keep(account(1, NOW + 900_000));
    assert.equal(await keeper.accessToken("access 1"), "access 2");
    assert.equal(await keeper.accessToken("access 1"), "access 2");
  });

  it("takes over what another tab refreshed, instead of reusing the old refresh token", async () => {
    const { keeper, storage } = createSubject(() => assert.fail("no refresh"));
    await keeper.keep(account(1, NOW));
    await storage.write({ account: account(2, NOW + 900_000) });
    assert.equal(await keeper.accessToken(), "access 2");
  });

  it("ends when the refresh token is not taken any more, and not for other failures", async () => {
    let reason = "UNAVAILABLE";
    let code = Code.Unavailable;
    const { keeper, storage, signedOut } = createSubject(async () => {
      throw new ParleyError({ code, reason, message: "No." });
    });
    await keeper.keep(account(1, NOW));
    await assert.rejects(keeper.accessToken(), { reason: "UNAVAILABLE" });
    assert.deepEqual(signedOut, []);
    assert.equal(keeper.account?.deviceId, "device");
    code = Code.Unauthenticated;
    reason = "REFRESH_TOKEN_REUSED";
    await assert.rejects(keeper.accessToken(), { reason: "REFRESH_TOKEN_REUSED" });
    assert.deepEqual(signedOut, ["REFRESH_TOKEN_REUSED"]);
    assert.equal(await storage.readAccount(), undefined);
    await assert.rejects(keeper.accessToken(), { reason: "SIGNED_OUT" });
  });

  it("does not bring an account back that signed out while a refresh was on its way", async () => {
    const answer = createDeferred<Tokens>();
    const { keeper, storage } = createSubject(() => answer.promise);
    await keeper.keep(account(1, NOW));
    const token = keeper.accessToken();
    await keeper.forget();
    answer.resolve(tokens(2));
    await assert.rejects(token, { reason: "SIGNED_OUT" });
    assert.equal(await storage.readAccount(), undefined);
  });
});

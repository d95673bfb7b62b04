// A hash that another sign-in renews between the check of the password and the write that depends on it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import {
  ChangePasswordRequestSchema,
  SignInRequestSchema,
} from "@parley/gen/parley/account/v1/account_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { createRateLimiter } from "@parley/platform/rate-limit";
import { callerKey } from "@parley/platform/rpc/caller";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import type { PasswordHasher } from "../account-ports.ts";
import { deriveRefreshTokenKeys } from "../domain/refresh-token.ts";
import { createPasswordHasher } from "../password-hasher.ts";
import { DEVICE, PASSWORD } from "../testing/account-fixture.ts";
import { accountOf } from "../testing/account-stores.ts";
import { refusedWith } from "../testing/refusals.ts";
import { createChangePassword } from "./change-password.ts";
import { createSignIn } from "./sign-in.ts";

const CHEAP = { memoryKib: 64, passes: 1, parallelism: 1, concurrencyMax: 2, waitingMax: 256 };

/** One account, whose hash becomes one of `password` after its first check. */
async function createRig(password: string) {
  const clock = createManualClock();
  const real = createPasswordHasher(CHEAP);
  const { account } = accountOf("grace");
  let stored = await real.hash(PASSWORD);
  let checks = 0;
  const hasher: PasswordHasher = {
    ...real,
    async verify(given, hash) {
      const matches = await real.verify(given, hash);
      if (++checks === 1) stored = await real.hash(password);
      return matches;
    },
  };
  const attempts = createRateLimiter({ ratePerSecond: 100, burst: 100, keysMax: 10, clock });
  const expected = (hash: string | undefined) => hash === stored;
  const signIn = createSignIn({
    accounts: {
      findByUsername: async () => ({ account, passwordHash: stored }),
      renewPasswordHash: async () => assert.fail("the hash is of the same parameters"),
    },
    devices: {
      addDevice: async (_added, { expectedHash }) => ({
        kind: expected(expectedHash) ? "added" : "password-changed",
      }),
    },
    signer: { sign: async () => "token" },
    refreshTokenKeys: deriveRefreshTokenKeys(randomBytes(32)),
    lifetimes: { accessMs: 1000, refreshMs: 1000 },
    log: silentTelemetry().log,
    hasher,
    attempts,
    clock,
  });
  const changePassword = createChangePassword({
    accounts: {
      readPasswordHash: async () => stored,
      async changePassword({ expectedHash, newHash }) {
        if (!expected(expectedHash)) return { kind: "password-changed" };
        stored = newHash;
        return { kind: "changed", revokedDeviceIds: [] };
      },
    },
    revocations: { waitEnded: async () => undefined },
    hasher,
    attempts,
    clock,
  });
  const { userId } = account;
  const device = { kind: "device", userId, deviceId: "device", expireTimeMs: 1 } as const;
  const context = { values: createContextValues().set(callerKey, device) } as HandlerContext;
  const request = { username: "grace", password: PASSWORD, device: DEVICE };
  const passwords = { currentPassword: PASSWORD, newPassword: "a newer battery" };
  return {
    signIn: async () => signIn(create(SignInRequestSchema, request), context),
    change: async () => changePassword(create(ChangePasswordRequestSchema, passwords), context),
  };
}

test("SignIn and ChangePassword check again when the hash was renewed meanwhile", async () => {
  const renewed = await createRig(PASSWORD);
  assert.equal((await renewed.signIn()).user?.username, "grace");
  await (await createRig(PASSWORD)).change();
});

test("SignIn and ChangePassword are refused when the password was changed meanwhile", async () => {
  await refusedWith((await createRig("another password")).signIn(), "BAD_CREDENTIALS");
  await refusedWith((await createRig("another password")).change(), "BAD_CREDENTIALS");
});

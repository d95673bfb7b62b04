import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createClient } from "@connectrpc/connect";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { reasonOf, retryAfterMsOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { SignJWT } from "jose";
import { createDeviceChecks } from "../session/device-checks.ts";
import { createMemoryServices } from "../testing/memory-services.ts";
import { UNLIMITED } from "../testing/test-gateway.ts";
import { createAuthenticator } from "./authenticator.ts";
import { asGateway } from "./gateway-caller.ts";
import { createRateLimits } from "./rate-limits.ts";
import { createVerificationKeys } from "./verification-keys.ts";

async function start(failuresPerMinute = 1000) {
  const clock = createManualClock(Date.UTC(2026, 0, 1));
  const services = await createMemoryServices();
  const directory = createClient(DirectoryService, asGateway(services.transports.directory));
  const deviceChecks = createDeviceChecks({ directory, clock });
  const keys = createVerificationKeys({ directory, clock });
  const limits = createRateLimits({ ...UNLIMITED, failuresPerMinute }, clock);
  const authenticator = createAuthenticator({ keys, deviceChecks, limits, clock });
  const verify = (token: string, address = "192.0.2.1") => authenticator.verify(token, address);
  const person = { userId: newUuid(), deviceId: newUuid() };
  const expireTimeMs = clock.nowMs() + 60_000;
  const mint = (given: Partial<Parameters<typeof services.mint.mint>[0]> = {}) =>
    services.mint.mint({ ...person, expireTimeMs, ...given });
  const callsOf = (rpc: string) => services.calls.get(rpc) ?? 0;
  return {
    clock,
    services,
    authenticator,
    verify,
    deviceChecks,
    person,
    expireTimeMs,
    mint,
    callsOf,
  };
}

const because = (reason: string) => (error: unknown) => reasonOf(error) === reason;

describe("authenticator", () => {
  it("names the device of a valid token, and asks for keys once", async () => {
    const { verify, person, expireTimeMs, mint, callsOf } = await start();
    const token = await mint();
    for (let count = 0; count < 3; count++) {
      const caller = await verify(token);
      assert.deepEqual(caller, { kind: "device", ...person, expireTimeMs });
    }
    assert.equal(callsOf("GetVerificationKeys"), 1);
  });

  it("refuses what the directory did not sign, for somebody else, or for nobody", async () => {
    const { verify, mint, services } = await start();
    const foreign = await (await createMemoryServices()).mint.mint({
      userId: newUuid(),
      deviceId: newUuid(),
      expireTimeMs: Date.UTC(2027, 0, 1),
    });
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from("{}").toString("base64url")}.`;
    const symmetric = await new SignJWT({ did: newUuid() })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer(services.mint.issuer)
      .setSubject(newUuid())
      .setExpirationTime("10y")
      .sign(new TextEncoder().encode(services.mint.jwksJson()));
    const tampered = (await mint()).replace(/\.(.)/, (_, first) => `.${first === "e" ? "f" : "e"}`);
    for (const token of [
      "x.y.z",
      "a",
      foreign,
      unsigned,
      symmetric,
      tampered,
      await mint({ issuer: "another" }),
      await mint({ userId: "no uuid" }),
      await mint({ deviceId: "no uuid" }),
      `${await mint()}${"x".repeat(9000)}`,
    ]) {
      await assert.rejects(verify(token), because("TOKEN_INVALID"), token);
    }
    await assert.rejects(verify(""), because("TOKEN_MISSING"));
  });

  it("refuses a token when its time is over, also one that it remembers", async () => {
    const { verify, clock, mint } = await start();
    const token = await mint();
    await verify(token);
    clock.advance(60_001);
    await assert.rejects(verify(token), because("TOKEN_EXPIRED"));
    await assert.rejects(verify(await mint({ expireTimeMs: 0 })), because("TOKEN_EXPIRED"));
  });

  it("asks again for a key that it does not know, and not for every stranger's", async () => {
    const { verify, clock, services, mint, callsOf } = await start();
    await verify(await mint());
    await services.mint.rotate();
    clock.advance(6000);
    await verify(await mint());
    assert.equal(callsOf("GetVerificationKeys"), 2);
    const stranger = await createMemoryServices();
    for (let count = 0; count < 5; count++) await stranger.mint.rotate();
    const unknownKey = await stranger.mint.mint({
      userId: newUuid(),
      deviceId: newUuid(),
      expireTimeMs: clock.nowMs() + 1000,
    });
    for (let count = 0; count < 5; count++) {
      await assert.rejects(verify(unknownKey), because("TOKEN_INVALID"));
    }
    assert.equal(callsOf("GetVerificationKeys"), 2);
  });

  it("says that it cannot tell while the directory is away, and recovers", async () => {
    const { verify, services, mint } = await start();
    const token = await mint();
    services.hold = () => Promise.reject(new Error("away"));
    await assert.rejects(verify(token), because("KEYS_UNAVAILABLE"));
    services.hold = () => undefined;
    await verify(token);
  });

  it("refuses a revoked device within a second, and at once when told", async () => {
    const { verify, clock, deviceChecks, services, person, mint } = await start();
    const token = await mint();
    await verify(token);
    services.revokedDevices.add(person.deviceId);
    clock.advance(1000);
    await assert.rejects(verify(token), because("DEVICE_REVOKED"));
    services.revokedDevices.clear();
    deviceChecks.forget();
    await verify(token);
    services.revokedDevices.add(person.deviceId);
    deviceChecks.forget();
    await assert.rejects(verify(token), because("DEVICE_REVOKED"));
  });

  it("asks about many devices in one question", async () => {
    const { verify, deviceChecks, mint, callsOf } = await start();
    const tokens = await Promise.all(
      Array.from({ length: 20 }, () => mint({ deviceId: newUuid() })),
    );
    await Promise.all(tokens.map((token) => verify(token)));
    const before = callsOf("CheckDevices");
    await Promise.all(tokens.map((token) => verify(token)));
    assert.equal(callsOf("CheckDevices"), before, "the answers are remembered for a moment");
    deviceChecks.forget();
    await Promise.all(tokens.map((token) => verify(token)));
    assert.equal(callsOf("CheckDevices"), before + 1);
  });

  it("looks at no further token of an address that has shown too many wrong ones", async () => {
    const { verify, clock, mint, authenticator, callsOf } = await start(3);
    const token = await mint();
    await verify(token, "192.0.2.7");
    const forged = (await mint()).replace(/\.(.)/, (_, first) => `.${first === "e" ? "f" : "e"}`);
    for (let count = 0; count < 4; count++) {
      await assert.rejects(verify(forged, "192.0.2.7"), because("TOKEN_INVALID"));
    }
    await assert.rejects(verify(forged, "192.0.2.7"), because("RATE_LIMITED"));
    await assert.rejects(verify(await mint({ deviceId: newUuid() }), "192.0.2.7"), (error) => {
      assert.ok((retryAfterMsOf(error) ?? 0) > 1000);
      return reasonOf(error) === "RATE_LIMITED";
    });
    await verify(token, "192.0.2.7");
    await assert.rejects(verify(forged, "192.0.2.8"), because("TOKEN_INVALID"), "another address");
    await assert.rejects(verify(forged, ""), because("TOKEN_INVALID"), "none");
    clock.advance(20_000);
    await verify(await mint({ deviceId: newUuid() }), "192.0.2.7");
    assert.equal(callsOf("GetVerificationKeys"), 1);
    assert.equal(authenticator.refusalOf(new Headers()), undefined);
  });

  it("does not count what has expired, and says why each caller is public", async () => {
    const { authenticator, clock, mint } = await start(1);
    const header = new Headers({ authorization: `Bearer ${await mint({ expireTimeMs: 0 })}` });
    for (let count = 0; count < 10; count++) {
      const caller = await authenticator.authenticate(header, "192.0.2.7");
      assert.equal(caller.kind, "public");
      assert.equal(reasonOf(authenticator.refusalOf(header)), "TOKEN_EXPIRED");
    }
    clock.advance(1);
    const valid = new Headers({ authorization: `Bearer ${await mint()}` });
    assert.equal((await authenticator.authenticate(valid, "192.0.2.7")).kind, "device");
    assert.equal(authenticator.refusalOf(valid), undefined);
  });

  it("believes a key that was retired for a minute at most, also of a token that it remembers", async () => {
    const { verify, clock, services, mint, callsOf } = await start();
    const token = await mint({ expireTimeMs: clock.nowMs() + 3_600_000 });
    await verify(token);
    services.mint.retire();
    clock.advance(59_000);
    await verify(token);
    clock.advance(1000);
    // Nobody waits for the new keys: this one still passes, and asks.
    await verify(token);
    while (callsOf("GetVerificationKeys") < 2) await new Promise((next) => setImmediate(next));
    await new Promise((next) => setImmediate(next));
    await assert.rejects(verify(token), because("TOKEN_INVALID"));
  });

  it("goes on with the keys it has while the directory is away", async () => {
    const { verify, clock, services, mint, callsOf } = await start();
    const token = await mint({ expireTimeMs: clock.nowMs() + 3_600_000 });
    await verify(token);
    services.hold = (rpc) =>
      rpc === "GetVerificationKeys" ? Promise.reject(new Error("away")) : undefined;
    for (let count = 0; count < 20; count++) {
      clock.advance(30_000);
      await verify(token);
      await new Promise((next) => setImmediate(next));
    }
    assert.ok(callsOf("GetVerificationKeys") > 5, "it has asked all the while");
    for (let count = 0; count < 20; count++) await verify(token);
  });
});

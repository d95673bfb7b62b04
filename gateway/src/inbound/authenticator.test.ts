import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createClient } from "@connectrpc/connect";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { SignJWT } from "jose";
import { createDeviceChecks } from "../session/device-checks.ts";
import { createMemoryServices } from "../testing/memory-services.ts";
import { createAuthenticator } from "./authenticator.ts";
import { asGateway } from "./gateway-caller.ts";
import { createVerificationKeys } from "./verification-keys.ts";

async function start() {
  const clock = createManualClock(Date.UTC(2026, 0, 1));
  const services = await createMemoryServices();
  const directory = createClient(DirectoryService, asGateway(services.transports.directory));
  const deviceChecks = createDeviceChecks({ directory, clock });
  const keys = createVerificationKeys({ directory, clock });
  const authenticator = createAuthenticator({ keys, deviceChecks, clock });
  const person = { userId: newUuid(), deviceId: newUuid() };
  const expireTimeMs = clock.nowMs() + 60_000;
  const mint = (given: Partial<Parameters<typeof services.mint.mint>[0]> = {}) =>
    services.mint.mint({ ...person, expireTimeMs, ...given });
  const callsOf = (rpc: string) => services.calls.get(rpc) ?? 0;
  return { clock, services, authenticator, deviceChecks, person, expireTimeMs, mint, callsOf };
}

const because = (reason: string) => (error: unknown) => reasonOf(error) === reason;

describe("authenticator", () => {
  it("names the device of a valid token, and asks for keys once", async () => {
    const { authenticator, person, expireTimeMs, mint, callsOf } = await start();
    const token = await mint();
    for (let count = 0; count < 3; count++) {
      const caller = await authenticator.verify(token);
      assert.deepEqual(caller, { kind: "device", ...person, expireTimeMs });
    }
    assert.equal(callsOf("GetVerificationKeys"), 1);
  });

  it("refuses what the directory did not sign, for somebody else, or for nobody", async () => {
    const { authenticator, mint, services } = await start();
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
      await assert.rejects(authenticator.verify(token), because("TOKEN_INVALID"), token);
    }
    await assert.rejects(authenticator.verify(""), because("TOKEN_MISSING"));
  });

  it("refuses a token when its time is over, also one that it remembers", async () => {
    const { authenticator, clock, mint } = await start();
    const token = await mint();
    await authenticator.verify(token);
    clock.advance(60_001);
    await assert.rejects(authenticator.verify(token), because("TOKEN_EXPIRED"));
    await assert.rejects(
      authenticator.verify(await mint({ expireTimeMs: 0 })),
      because("TOKEN_EXPIRED"),
    );
  });

  it("asks again for a key that it does not know, and not for every stranger's", async () => {
    const { authenticator, clock, services, mint, callsOf } = await start();
    await authenticator.verify(await mint());
    await services.mint.rotate();
    clock.advance(6000);
    await authenticator.verify(await mint());
    assert.equal(callsOf("GetVerificationKeys"), 2);
    const stranger = await createMemoryServices();
    for (let count = 0; count < 5; count++) await stranger.mint.rotate();
    const unknownKey = await stranger.mint.mint({
      userId: newUuid(),
      deviceId: newUuid(),
      expireTimeMs: clock.nowMs() + 1000,
    });
    for (let count = 0; count < 5; count++) {
      await assert.rejects(authenticator.verify(unknownKey), because("TOKEN_INVALID"));
    }
    assert.equal(callsOf("GetVerificationKeys"), 2);
  });

  it("says that it cannot tell while the directory is away, and recovers", async () => {
    const { authenticator, services, mint } = await start();
    const token = await mint();
    services.hold = () => Promise.reject(new Error("away"));
    await assert.rejects(authenticator.verify(token), because("KEYS_UNAVAILABLE"));
    services.hold = () => undefined;
    await authenticator.verify(token);
  });

  it("refuses a revoked device within a second, and at once when told", async () => {
    const { authenticator, clock, deviceChecks, services, person, mint } = await start();
    const token = await mint();
    await authenticator.verify(token);
    services.revokedDevices.add(person.deviceId);
    clock.advance(1000);
    await assert.rejects(authenticator.verify(token), because("DEVICE_REVOKED"));
    services.revokedDevices.clear();
    deviceChecks.forget();
    await authenticator.verify(token);
    services.revokedDevices.add(person.deviceId);
    deviceChecks.forget();
    await assert.rejects(authenticator.verify(token), because("DEVICE_REVOKED"));
  });

  it("asks about many devices in one question", async () => {
    const { authenticator, deviceChecks, mint, callsOf } = await start();
    const tokens = await Promise.all(
      Array.from({ length: 20 }, () => mint({ deviceId: newUuid() })),
    );
    await Promise.all(tokens.map((token) => authenticator.verify(token)));
    const before = callsOf("CheckDevices");
    await Promise.all(tokens.map((token) => authenticator.verify(token)));
    assert.equal(callsOf("CheckDevices"), before, "the answers are remembered for a moment");
    deviceChecks.forget();
    await Promise.all(tokens.map((token) => authenticator.verify(token)));
    assert.equal(callsOf("CheckDevices"), before + 1);
  });
});

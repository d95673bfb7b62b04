import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { DevicePlatform } from "@parley/gen/parley/account/v1/account_pb";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { createManualClock } from "@parley/platform/clock";
import { reasonOf, retryAfterMsOf } from "@parley/platform/errors";
import { rpcClient } from "../testing/rpc-clients.ts";
import { startTestGateway } from "../testing/test-gateway.ts";
import { createRateLimits } from "./rate-limits.ts";

const rates = { sendsPerSecond: 2, callsPerSecond: 10, signUpsPerMinute: 3, signInsPerMinute: 5 };

/** How often it succeeds before it is refused. */
function countUntilRefused(take: () => void): number {
  for (let count = 0; count < 10_000; count++) {
    try {
      take();
    } catch (error) {
      assert.equal(reasonOf(error), "RATE_LIMITED");
      assert.ok((retryAfterMsOf(error) ?? 0) > 0);
      return count;
    }
  }
  return Number.POSITIVE_INFINITY;
}

describe("rate limits", () => {
  it("count per device and per person", () => {
    const clock = createManualClock();
    const limits = createRateLimits(rates, clock);
    const phone = { userId: "u", deviceId: "phone" };
    const others = [1, 2, 3].map((number) => ({ userId: "u", deviceId: `other${number}` }));
    assert.equal(
      countUntilRefused(() => limits.takeSend(phone)),
      10,
    );
    const further = others.map((other) => countUntilRefused(() => limits.takeSend(other)));
    assert.ok(further.reduce((sum, count) => sum + count, 0) <= 10, "the person is limited too");
    assert.equal(
      countUntilRefused(() => limits.takeSend({ userId: "v", deviceId: "x" })),
      10,
    );
    clock.advance(1000);
    assert.ok(countUntilRefused(() => limits.takeSend(phone)) >= 1);
  });

  it("count strangers per address, and sign-ups and sign-ins strictly", () => {
    const limits = createRateLimits(rates, createManualClock());
    assert.equal(
      countUntilRefused(() => limits.takeSignUp("a")),
      3,
    );
    assert.equal(
      countUntilRefused(() => limits.takeSignUp("b")),
      3,
    );
    assert.equal(
      countUntilRefused(() => limits.takeSignIn("a")),
      5,
    );
    assert.equal(
      countUntilRefused(() => limits.takeCall(undefined, "a")),
      200,
    );
  });

  it("refuse RPCs with a retry delay", async () => {
    await using test = await startTestGateway({ config: { rates } });
    const client = rpcClient(AccountService, { url: test.url });
    const signUp = () =>
      client.signUp({
        username: "ana",
        password: "long enough",
        device: { name: "d", platform: DevicePlatform.NODE },
      });
    for (let count = 0; count < 3; count++) await signUp();
    await assert.rejects(signUp(), (error) => {
      assert.equal(reasonOf(error), "RATE_LIMITED");
      assert.ok((retryAfterMsOf(error) ?? 0) > 1000);
      return (error as { code: Code }).code === Code.ResourceExhausted;
    });
  });
});

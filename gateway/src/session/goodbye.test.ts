import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GoodbyeReason, ReconnectAdvice } from "@parley/gen/parley/realtime/v1/frame_pb";
import { closeCodeOf, createGoodbye } from "./goodbye.ts";

describe("goodbyes", () => {
  it("have close codes in the range of their advice", () => {
    const ranges = new Map<number, [number, number]>([
      [ReconnectAdvice.RECONNECT, [4000, 4499]],
      [ReconnectAdvice.STOP, [4500, 4899]],
      [ReconnectAdvice.REAUTHENTICATE, [4900, 4999]],
    ]);
    const codes = Object.values(GoodbyeReason).map((reason) => {
      const goodbye = createGoodbye(reason);
      const [lowest, highest] = ranges.get(goodbye.reconnect) ?? [0, 0];
      const code = closeCodeOf(goodbye);
      assert.ok(code >= lowest && code <= highest, `reason ${reason} closes with ${code}`);
      if (reason !== GoodbyeReason.UNSPECIFIED) assert.notEqual(goodbye.detail, "");
      return code;
    });
    assert.equal(new Set(codes).size, codes.length);
  });

  it("never tell a client to come back that would meet the same", () => {
    const { STOP, REAUTHENTICATE, RECONNECT } = ReconnectAdvice;
    const adviceOf = (reason: GoodbyeReason) => createGoodbye(reason).reconnect;
    assert.equal(adviceOf(GoodbyeReason.PROTOCOL_ERROR), STOP);
    assert.equal(adviceOf(GoodbyeReason.SESSION_LIMIT), STOP);
    assert.equal(adviceOf(GoodbyeReason.TOKEN_EXPIRED), REAUTHENTICATE);
    assert.equal(adviceOf(GoodbyeReason.DEVICE_REVOKED), REAUTHENTICATE);
    assert.equal(adviceOf(GoodbyeReason.UNAUTHENTICATED), REAUTHENTICATE);
    assert.equal(adviceOf(GoodbyeReason.SLOW_CONSUMER), RECONNECT);
    assert.equal(adviceOf(GoodbyeReason.SERVER_DRAINING), RECONNECT);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GoodbyeReason, ReconnectAdvice } from "@parley/gen/parley/realtime/v1/frame_pb";
import { startTestGateway } from "../testing/test-gateway.ts";
import { TestSocket } from "../testing/test-socket.ts";

describe("EndSessions", () => {
  it("ends the sessions of the named devices with a goodbye", async () => {
    await using test = await startTestGateway();
    const phone = await test.person();
    const laptop = await test.person({ userId: phone.userId });
    const open = ({ token }: { token: string }) =>
      TestSocket.open(test.port, { accessToken: token });
    await using first = await open(phone);
    await using second = await open(phone);
    await using other = await open(laptop);
    assert.equal(await test.endSessions(phone.userId, [phone.deviceId]), 2);
    for (const socket of [first, second]) {
      const goodbye = await socket.next("goodbye");
      assert.equal(goodbye.reason, GoodbyeReason.DEVICE_REVOKED);
      assert.equal(goodbye.reconnect, ReconnectAdvice.REAUTHENTICATE);
      assert.equal(await socket.closed(), 4900 + GoodbyeReason.DEVICE_REVOKED);
    }
    assert.equal(other.closeCode, undefined);
    assert.equal(await test.endSessions(phone.userId, [phone.deviceId]), 0, "it is idempotent");
    assert.equal(await test.endSessions(phone.userId), 1, "all devices if none is named");
    assert.equal(await other.closed(), 4900 + GoodbyeReason.DEVICE_REVOKED);
  });
});

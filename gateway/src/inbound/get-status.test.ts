import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { OpsService } from "@parley/gen/parley/ops/v1/ops_service_pb";
import { rpcClient } from "../testing/rpc-clients.ts";
import { startTestGateway } from "../testing/test-gateway.ts";
import { TestSocket } from "../testing/test-socket.ts";

const operatorToken = "the-operator-token-of-tests";

describe("GetStatus", () => {
  it("tells the operator about every part", async () => {
    await using test = await startTestGateway({ config: { operatorToken } });
    test.health.set("message-store", false, "The disk is full.");
    const { token } = await test.person();
    await using _socket = await TestSocket.open(test.port, { accessToken: token });
    const client = rpcClient(OpsService, { url: test.url, token: operatorToken });
    const { components, sessionCount } = await client.getStatus({});
    assert.equal(sessionCount, 1);
    assert.deepEqual(
      components.map(({ name, serving, reason }) => [name, serving, reason]),
      [
        ["gateway", true, ""],
        ["message-store", false, "The disk is full."],
      ],
    );
  });

  it("tells nobody else", async () => {
    await using test = await startTestGateway({ config: { operatorToken } });
    const statusAs = (token?: string) =>
      rpcClient(OpsService, { url: test.url, token }).getStatus({});
    await assert.rejects(statusAs(), { code: Code.Unauthenticated });
    await assert.rejects(statusAs("another-token-of-that-length"), { code: Code.Unauthenticated });
    await assert.rejects(statusAs((await test.person()).token), { code: Code.PermissionDenied });
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { OpsService } from "@parley/gen/parley/ops/v1/ops_service_pb";
import { toGatewayConfig } from "../config.ts";
import { rpcClient } from "../testing/rpc-clients.ts";
import { startTestGateway } from "../testing/test-gateway.ts";

describe("GetServerInfo", () => {
  it("tells strangers what the operator set", async () => {
    const { serverInfo } = toGatewayConfig({
      workingDirectory: "/",
      PARLEY_GATEWAY_SERVER_NAME: "Team",
      PARLEY_DIRECTORY_SIGN_UP: "closed",
      PARLEY_DIRECTORY_GROUP_MEMBERS_MAX: "40",
      PARLEY_MESSAGE_PAYLOAD_BYTES_MAX: "10KiB",
      PARLEY_DEMO: "true",
    });
    await using test = await startTestGateway({ config: { serverInfo } });
    for (const protocol of ["connect", "grpc"] as const) {
      const info = await rpcClient(OpsService, { url: test.url, protocol }).getServerInfo({});
      assert.equal(info.serverName, "Team");
      assert.equal(info.signUpOpen, false);
      assert.equal(info.demo, true);
      assert.equal(info.payloadBytesMax, 10 * 1024);
      assert.equal(info.conversationLimits?.groupMembersMax, 40);
      assert.deepEqual(info.encryptionModes, [EncryptionMode.SERVER_READABLE]);
      assert.equal(info.heartbeatInterval?.seconds, 5n);
      const skewMs = Math.abs(Number(info.serverTime?.seconds) * 1000 - Date.now());
      assert.ok(skewMs < 5000);
    }
  });
});

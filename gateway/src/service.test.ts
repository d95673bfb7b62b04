import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { GoodbyeReason, ReconnectAdvice } from "@parley/gen/parley/realtime/v1/frame_pb";
import { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { newUuid } from "@parley/platform/ids";
import { rpcClient } from "./testing/rpc-clients.ts";
import { startTestGateway } from "./testing/test-gateway.ts";
import { TestSocket } from "./testing/test-socket.ts";

const body = { case: "payload", value: new Uint8Array([1]) } as const;

describe("a draining gateway", () => {
  it("answers what it took on, says goodbye, and closes every connection", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const conversationId = test.services.chat.createConversation([ana.userId]);
    const sockets = [
      await TestSocket.open(test.port, { accessToken: ana.token }),
      await TestSocket.open(test.port, { accessToken: ana.token }),
    ];
    const [sender] = sockets as [TestSocket];
    const held = Promise.withResolvers<void>();
    test.services.hold = (rpc) => (rpc === "AppendBatches" ? held.promise : undefined);
    const value = { conversationId, clientMessageId: newUuid(), body };
    const sending = sender.send({ case: "send", value });
    while (![...test.gateway.sessions.all()].some(({ answersInFlight }) => answersInFlight > 0)) {
      await new Promise((next) => setImmediate(next));
    }
    const drained = test.gateway.drain(5000);
    assert.equal(test.health.serving, false);
    const late = sender.send({ case: "send", value: { ...value, clientMessageId: newUuid() } });
    const refused = await sender.answer(late);
    assert.ok(refused.case === "refused");
    assert.equal(refused.value.reason, "SERVER_DRAINING");
    held.resolve();
    assert.equal((await sender.answer(sending)).case, "sent");
    const delays: number[] = [];
    for (const socket of sockets) {
      const goodbye = await socket.next("goodbye");
      assert.equal(goodbye.reason, GoodbyeReason.SERVER_DRAINING);
      assert.equal(goodbye.reconnect, ReconnectAdvice.RECONNECT);
      if (goodbye.reconnectDelay !== undefined) delays.push(durationMs(goodbye.reconnectDelay));
      assert.equal(await socket.closed(), 4000 + GoodbyeReason.SERVER_DRAINING);
    }
    assert.equal(new Set(delays).size, 2, "clients come back at different times");
    await drained;
    await assert.rejects(fetch(`${test.url}/healthz`), "nobody listens any more");
  });

  it("ends polls and streams with the goodbye", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const client = rpcClient(RealtimeService, { url: test.url, token: ana.token });
    const open = { positionsComplete: true };
    let { sessionId, cursor } = await client.poll({ open });
    const caughtUp = await client.poll({
      sessionId,
      acknowledgedCursor: cursor,
      wait: { seconds: 5n },
    });
    cursor = caughtUp.cursor;
    const wait = { seconds: 20n };
    const polling = client.poll({ sessionId, acknowledgedCursor: cursor, wait });
    const streaming = (async () => {
      const reasons: GoodbyeReason[] = [];
      for await (const { frame } of client.subscribe({ open })) {
        if (frame?.frame.case === "goodbye") reasons.push(frame.frame.value.reason);
      }
      return reasons;
    })();
    while (test.gateway.sessions.size < 2) await new Promise((next) => setImmediate(next));
    await test.gateway.drain(5000);
    const { frames } = await polling;
    assert.equal(frames.at(-1)?.frame.case, "goodbye");
    assert.deepEqual(await streaming, [GoodbyeReason.SERVER_DRAINING]);
  });

  it("does not wait longer than it may", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const conversationId = test.services.chat.createConversation([ana.userId]);
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    test.services.hold = (rpc) =>
      rpc === "AppendBatches" ? new Promise(() => undefined) : undefined;
    socket.send({ case: "send", value: { conversationId, clientMessageId: newUuid(), body } });
    const startMs = performance.now();
    await test.gateway.drain(300);
    assert.ok(performance.now() - startMs < 3000);
  });

  it("takes its sessions out of the registry in the end", async () => {
    const test = await startTestGateway();
    const ana = await test.person();
    await using _socket = await TestSocket.open(test.port, { accessToken: ana.token });
    assert.equal(test.services.registry.sessions.size, 1);
    await test[Symbol.asyncDispose]();
    assert.equal(test.services.registry.sessions.size, 0);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { ClientFrameSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { rpcClient } from "../testing/rpc-clients.ts";
import { startTestGateway, type TestGateway } from "../testing/test-gateway.ts";
import { TestSocket } from "../testing/test-socket.ts";

async function start(test: TestGateway) {
  const ana = await test.person();
  const client = rpcClient(RealtimeService, { url: test.url, token: ana.token });
  const { sessionId } = await client.poll({ open: { positionsComplete: true } });
  const conversationId = test.services.chat.createConversation([ana.userId]);
  return { ana, client, sessionId, conversationId };
}

const send = (conversationId: string, requestId: bigint) => ({
  requestId,
  frame: {
    case: "send" as const,
    value: {
      conversationId,
      clientMessageId: newUuid(),
      body: { case: "payload" as const, value: new Uint8Array([1]) },
    },
  },
});

describe("Submit", () => {
  it("carries frames out in order and answers in the order of the requests", async () => {
    await using test = await startTestGateway();
    const { client, sessionId, conversationId } = await start(test);
    const frames: MessageInitShape<typeof ClientFrameSchema>[] = [
      send(conversationId, 1n),
      {
        requestId: 2n,
        frame: { case: "typing" as const, value: { conversationId, typing: true } },
      },
      send(newUuid(), 3n),
      send(conversationId, 4n),
      {
        requestId: 5n,
        frame: { case: "receipt" as const, value: { conversationId, readSeq: 2n } },
      },
      { requestId: 6n, frame: { case: "heartbeat" as const, value: {} } },
    ];
    const answer = await client.submit({ sessionId, frames });
    assert.deepEqual(
      answer.frames.map(({ requestId, frame }) => [requestId, frame.case]),
      [
        [1n, "sent"],
        [3n, "refused"],
        [4n, "sent"],
        [5n, "done"],
        [6n, "heartbeat"],
      ],
    );
    const seqs = answer.frames.flatMap(({ frame }) =>
      frame.case === "sent" ? [frame.value.seq] : [],
    );
    assert.deepEqual(seqs, [1n, 2n]);
    const { receipts, typing } = test.services;
    assert.equal(receipts[0]?.readSeq, 2n);
    assert.equal(typing[0]?.conversationId, conversationId);
  });

  it("does not know sessions of other devices, of other roads, or that ended", async () => {
    await using test = await startTestGateway();
    const { ana, client, sessionId } = await start(test);
    const stranger = rpcClient(RealtimeService, {
      url: test.url,
      token: (await test.person()).token,
    });
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    const { sessionId: socketId } = await socket.next("opened");
    const frames = [{ requestId: 1n, frame: { case: "heartbeat" as const, value: {} } }];
    const notFound = (error: unknown) => reasonOf(error) === "SESSION_NOT_FOUND";
    await assert.rejects(stranger.submit({ sessionId, frames }), notFound);
    await assert.rejects(client.submit({ sessionId: socketId, frames }), notFound);
    await test.endSessions(ana.userId);
    await assert.rejects(client.submit({ sessionId, frames }), notFound);
  });

  it("ends a polled session at once, and answers nothing behind that", async () => {
    await using test = await startTestGateway();
    const { client, sessionId, conversationId } = await start(test);
    const { cursor } = await client.poll({ sessionId });
    const wait = { seconds: 20n, nanos: 0 };
    const notFound = (error: unknown) => reasonOf(error) === "SESSION_NOT_FOUND";
    const waiting = assert.rejects(
      client.poll({ sessionId, acknowledgedCursor: cursor, wait }),
      notFound,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    const { frames } = await client.submit({
      sessionId,
      frames: [
        send(conversationId, 1n),
        { requestId: 2n, frame: { case: "close", value: {} } },
        { requestId: 3n, frame: { case: "heartbeat", value: {} } },
      ],
    });
    assert.deepEqual(
      frames.map(({ requestId, frame }) => [requestId, frame.case]),
      [
        [1n, "sent"],
        [2n, "done"],
      ],
    );
    assert.equal(test.gateway.sessions.size, 0);
    assert.equal(test.services.registry.sessions.size, 0);
    await waiting;
    await assert.rejects(client.poll({ sessionId }), notFound);
    const again = [{ requestId: 4n, frame: { case: "close" as const, value: {} } }];
    await assert.rejects(client.submit({ sessionId, frames: again }), notFound);
  });

  it("leaves nothing to be fetched of a session that was closed", async () => {
    await using test = await startTestGateway();
    const { ana, client, sessionId, conversationId } = await start(test);
    const [session] = test.gateway.sessions.all();
    const payload = new Uint8Array([1]);
    test.services.chat.append({ conversationId, senderUserId: ana.userId, payload });
    await test.acknowledged();
    assert.ok((session?.outlet.waitingFrames ?? 0) > 0);
    const frames = [{ requestId: 1n, frame: { case: "close" as const, value: {} } }];
    assert.equal((await client.submit({ sessionId, frames })).frames.length, 1);
    await assert.rejects(client.poll({ sessionId }), (error) => {
      return reasonOf(error) === "SESSION_NOT_FOUND";
    });
  });

  it("takes 64 frames and not one more", async () => {
    await using test = await startTestGateway();
    const { client, sessionId } = await start(test);
    const frames = Array.from({ length: 65 }, (_, index) => ({
      requestId: BigInt(index + 1),
      frame: { case: "heartbeat" as const, value: {} },
    }));
    assert.equal((await client.submit({ sessionId, frames: frames.slice(1) })).frames.length, 64);
    await assert.rejects(client.submit({ sessionId, frames }), { code: Code.InvalidArgument });
  });
});

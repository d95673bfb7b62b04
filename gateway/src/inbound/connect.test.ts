import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ClientFrameSchema,
  GoodbyeReason,
  type ServerFrame,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import {
  ConnectRequestSchema,
  RealtimeService,
} from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { createAsyncQueue } from "@parley/platform/async/queue";
import { newUuid } from "@parley/platform/ids";
import { rpcClient } from "../testing/rpc-clients.ts";
import { startTestGateway, type TestGateway, type TestPerson } from "../testing/test-gateway.ts";

type Frame = MessageInitShape<typeof ClientFrameSchema>;

/** As connect-node wants its requests: with `throw`. */
async function* generate<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  yield* items;
}

/** A gRPC session: frames go in by `send`, and come out by `until`. */
function connect(test: TestGateway, person: TestPerson) {
  const client = rpcClient(RealtimeService, {
    url: test.url,
    token: person.token,
    protocol: "grpc",
  });
  const requests = createAsyncQueue<MessageInitShape<typeof ConnectRequestSchema>>({ max: 1000 });
  const abort = new AbortController();
  const answers = client
    .connect(generate(requests), { signal: abort.signal })
    [Symbol.asyncIterator]();
  const frames: ServerFrame[] = [];
  return {
    frames,
    send: (frame: Frame) => requests.push(create(ConnectRequestSchema, { frame })),
    sendNothing: () => requests.push(create(ConnectRequestSchema, {})),
    finish: () => requests.close(),
    abort: () => abort.abort(),
    async until(condition: (frame: ServerFrame) => boolean): Promise<ServerFrame> {
      for (;;) {
        const next = await answers.next();
        if (next.done === true) throw new Error("the stream ended");
        const { frame } = next.value;
        if (frame === undefined) throw new Error("an answer without a frame");
        frames.push(frame);
        if (condition(frame)) return frame;
      }
    },
    async rest(): Promise<ServerFrame[]> {
      for (let next = await answers.next(); next.done !== true; next = await answers.next()) {
        if (next.value.frame !== undefined) frames.push(next.value.frame);
      }
      return frames;
    },
  };
}

const open = {
  requestId: 1n,
  frame: { case: "open" as const, value: { positionsComplete: true } },
};
const isCaughtUp = ({ frame }: ServerFrame) => frame.case === "caughtUp";
const sendOf = (conversationId: string, requestId: bigint): Frame => ({
  requestId,
  frame: {
    case: "send",
    value: {
      conversationId,
      clientMessageId: newUuid(),
      body: { case: "payload", value: new Uint8Array([1]) },
    },
  },
});

describe("Connect", () => {
  it("carries a session over gRPC: events, sends and their answers", async () => {
    await using test = await startTestGateway();
    const [ana, ben] = [await test.person(), await test.person()];
    const conversationId = test.services.chat.createConversation([ana.userId, ben.userId]);
    const [sender, receiver] = [connect(test, ana), connect(test, ben)];
    for (const one of [sender, receiver]) {
      one.send(open);
      await one.until(isCaughtUp);
      assert.equal(one.frames[0]?.frame.case, "opened");
      assert.equal(one.frames[0]?.requestId, 1n);
    }
    sender.send(sendOf(conversationId, 5n));
    const answer = await sender.until(({ requestId }) => requestId === 5n);
    assert.equal(answer.frame.case, "sent");
    assert.equal((await receiver.until(() => true)).frame.case, "event");
    sender.abort();
    receiver.abort();
    while (test.gateway.sessions.size > 0) await new Promise((next) => setImmediate(next));
  });

  it("answers what was sent before the client's side ended, and then ends", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const conversationId = test.services.chat.createConversation([ana.userId]);
    const session = connect(test, ana);
    session.send(open);
    await session.until(isCaughtUp);
    session.send(sendOf(conversationId, 9n));
    session.finish();
    const frames = await session.rest();
    assert.equal(frames.at(-1)?.requestId, 9n);
    assert.equal(test.gateway.sessions.size, 0);
  });

  it("ends behind the answer when its client closes it", async () => {
    await using test = await startTestGateway();
    const session = connect(test, await test.person());
    session.send(open);
    await session.until(isCaughtUp);
    session.send({ requestId: 4n, frame: { case: "close", value: {} } });
    const last = (await session.rest()).at(-1);
    assert.deepEqual([last?.requestId, last?.frame.case], [4n, "done"]);
    assert.equal(test.gateway.sessions.size, 0);
    assert.equal(test.services.registry.sessions.size, 0);
  });

  it("refuses a frame by its rules and goes on", async () => {
    await using test = await startTestGateway();
    const session = connect(test, await test.person());
    session.send(open);
    await session.until(isCaughtUp);
    session.send(sendOf("no uuid", 3n));
    const refused = await session.until(({ requestId }) => requestId === 3n);
    assert.ok(refused.frame.case === "refused");
    assert.equal(refused.frame.value.field, "send.conversation_id");
    session.send({ requestId: 4n, frame: { case: "heartbeat", value: {} } });
    await session.until(({ frame }) => frame.case === "heartbeat");
    session.abort();
  });

  for (const [what, act] of [
    [
      "another first frame",
      (one: ReturnType<typeof connect>) =>
        one.send({ ...open, frame: { case: "heartbeat", value: {} } }),
    ],
    ["a first request without a frame", (one: ReturnType<typeof connect>) => one.sendNothing()],
    ["an end before `open`", (one: ReturnType<typeof connect>) => one.finish()],
    ["a second `open`", (one: ReturnType<typeof connect>) => one.send(open) && one.send(open)],
  ] as const) {
    it(`says goodbye to ${what}`, async () => {
      await using test = await startTestGateway();
      const session = connect(test, await test.person());
      act(session);
      const last = (await session.rest()).at(-1);
      assert.ok(last?.frame.case === "goodbye");
      assert.equal(last.frame.value.reason, GoodbyeReason.PROTOCOL_ERROR);
    });
  }
});

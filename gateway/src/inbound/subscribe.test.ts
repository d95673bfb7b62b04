import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { GoodbyeReason, type ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { rpcClient } from "../testing/rpc-clients.ts";
import { startTestGateway } from "../testing/test-gateway.ts";

const content = Buffer.from("CgQKAmhp", "base64"); // Content{text{"hi"}}

describe("Subscribe", () => {
  for (const json of [false, true]) {
    it(`streams a session as ${json ? "JSON, decoded" : "binary, as bytes"}`, async () => {
      await using test = await startTestGateway();
      const { chat } = test.services;
      const ana = await test.person();
      const conversationId = chat.createConversation([ana.userId]);
      const append = () =>
        chat.append({ conversationId, senderUserId: ana.userId, payload: content });
      append();
      const client = rpcClient(RealtimeService, { url: test.url, token: ana.token, json });
      const abort = new AbortController();
      const open = { positionsComplete: true };
      const frames: ServerFrame[] = [];
      const ended = assert.rejects(async () => {
        for await (const { frame } of client.subscribe({ open }, { signal: abort.signal })) {
          if (frame !== undefined) frames.push(frame);
          if (frame?.frame.case === "caughtUp") append();
          if (frames.length === 4) abort.abort();
        }
      }, ConnectError);
      await ended;
      const event = json ? "decodedEvent" : "event";
      assert.deepEqual(
        frames.map(({ frame }) => frame.case),
        ["opened", event, "caughtUp", event],
      );
      const { frame } = frames[3] as ServerFrame;
      if (frame.case === "decodedEvent") {
        assert.ok(frame.value.event.case === "message");
        assert.deepEqual(frame.value.event.value.content?.kind.case, "text");
      }
      while (test.gateway.sessions.size > 0) await new Promise((next) => setImmediate(next));
    });
  }

  it("needs a token", async () => {
    await using test = await startTestGateway();
    const client = rpcClient(RealtimeService, { url: test.url });
    const stream = client.subscribe({ open: { positionsComplete: true } });
    await assert.rejects(
      async () => {
        for await (const _ of stream) assert.fail("a frame came");
      },
      (error) => error instanceof ConnectError && error.code === Code.Unauthenticated,
    );
  });

  it("ends with the goodbye", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const client = rpcClient(RealtimeService, { url: test.url, token: ana.token });
    let last: ServerFrame | undefined;
    for await (const { frame } of client.subscribe({ open: { positionsComplete: true } })) {
      last = frame;
      if (frame?.frame.case === "caughtUp") await test.endSessions(ana.userId);
    }
    assert.ok(last?.frame.case === "goodbye");
    assert.equal(last.frame.value.reason, GoodbyeReason.DEVICE_REVOKED);
  });

  it("ends without a goodbye when its client closes it, and answers in the call", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const client = rpcClient(RealtimeService, { url: test.url, token: ana.token });
    const cases: ServerFrame["frame"]["case"][] = [];
    let sessionId = "";
    for await (const { frame } of client.subscribe({ open: { positionsComplete: true } })) {
      cases.push(frame?.frame.case);
      if (frame?.frame.case === "opened") sessionId = frame.frame.value.sessionId;
      if (frame?.frame.case !== "caughtUp") continue;
      const frames = [{ requestId: 3n, frame: { case: "close" as const, value: {} } }];
      const answer = await client.submit({ sessionId, frames });
      assert.deepEqual(
        answer.frames.map(({ requestId, frame: { case: kind } }) => [requestId, kind]),
        [[3n, "done"]],
      );
    }
    assert.deepEqual(cases, ["opened", "caughtUp"]);
    assert.equal(test.services.registry.sessions.size, 0);
  });

  it("counts what the session costs on the wire", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const client = rpcClient(RealtimeService, { url: test.url, token: ana.token });
    const abort = new AbortController();
    const signal = abort.signal;
    for await (const { frame } of client.subscribe(
      { open: { positionsComplete: true } },
      { signal },
    )) {
      if (frame?.frame.case !== "caughtUp") continue;
      const [session] = test.gateway.sessions.all();
      const { bytesIn, bytesOut } = session?.outlet.wire() ?? { bytesIn: 0, bytesOut: 0 };
      assert.ok(bytesIn > 200, `${bytesIn} bytes in`);
      assert.ok(bytesOut > 150, `${bytesOut} bytes out`);
      break;
    }
    abort.abort();
  });
});

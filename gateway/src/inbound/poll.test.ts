import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import type { ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { rpcClient } from "../testing/rpc-clients.ts";
import { startTestGateway } from "../testing/test-gateway.ts";

const open = { positionsComplete: true };
const wait = { seconds: 20n, nanos: 0 };
const payload = new Uint8Array([1]);

describe("Poll", () => {
  it("opens a session and fetches its frames, waiting for them", async () => {
    await using test = await startTestGateway();
    const { chat } = test.services;
    const ana = await test.person();
    const conversationId = chat.createConversation([ana.userId]);
    const client = rpcClient(RealtimeService, { url: test.url, token: ana.token });
    const frames: ServerFrame[] = [];
    let { sessionId, cursor, frames: first } = await client.poll({ open });
    frames.push(...first);
    while (frames.at(-1)?.frame.case !== "caughtUp") {
      const next = await client.poll({ sessionId, acknowledgedCursor: cursor, wait });
      frames.push(...next.frames);
      cursor = next.cursor;
    }
    assert.deepEqual(
      frames.map(({ frame }) => frame.case),
      ["opened", "caughtUp"],
    );
    const waiting = client.poll({ sessionId, acknowledgedCursor: cursor, wait });
    await new Promise((resolve) => setTimeout(resolve, 50));
    chat.append({ conversationId, senderUserId: newUuid(), payload });
    const answer = await waiting;
    assert.deepEqual(
      answer.frames.map(({ frame }) => frame.case),
      ["event"],
    );
    const again = await client.poll({ sessionId, acknowledgedCursor: cursor });
    assert.deepEqual(again.frames, answer.frames, "what was not acknowledged comes again");
  });

  it("asks for exactly one of a session and `open`", async () => {
    await using test = await startTestGateway();
    const client = rpcClient(RealtimeService, {
      url: test.url,
      token: (await test.person()).token,
    });
    await assert.rejects(client.poll({}), { code: Code.InvalidArgument });
    await assert.rejects(client.poll({ sessionId: newUuid(), open }), {
      code: Code.InvalidArgument,
    });
  });

  it("does not know another device's session", async () => {
    await using test = await startTestGateway();
    const client = rpcClient(RealtimeService, {
      url: test.url,
      token: (await test.person()).token,
    });
    const other = rpcClient(RealtimeService, { url: test.url, token: (await test.person()).token });
    const { sessionId } = await client.poll({ open });
    const notFound = (error: unknown) => reasonOf(error) === "SESSION_NOT_FOUND";
    await assert.rejects(other.poll({ sessionId }), notFound);
    await assert.rejects(client.poll({ sessionId: newUuid() }), notFound);
  });

  it("gives the goodbye to whoever still polls, and then forgets the session", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const client = rpcClient(RealtimeService, { url: test.url, token: ana.token });
    const { sessionId } = await client.poll({ open });
    await test.endSessions(ana.userId);
    const last = await client.poll({ sessionId });
    assert.equal(last.frames.at(-1)?.frame.case, "goodbye");
    await assert.rejects(
      client.poll({ sessionId, acknowledgedCursor: last.cursor }),
      (error) => reasonOf(error) === "SESSION_NOT_FOUND",
    );
  });

  it("returns at most what was asked for", async () => {
    await using test = await startTestGateway();
    const { chat } = test.services;
    const ana = await test.person();
    const conversationId = chat.createConversation([ana.userId]);
    for (let count = 0; count < 30; count++) {
      chat.append({ conversationId, senderUserId: ana.userId, payload });
    }
    const client = rpcClient(RealtimeService, { url: test.url, token: ana.token });
    const { sessionId } = await client.poll({ open });
    let cursor = 0n;
    let events = 0;
    for (let polls = 0; events < 30; polls++) {
      assert.ok(polls < 100, "all entries come");
      const answer = await client.poll({
        sessionId,
        acknowledgedCursor: cursor,
        framesMax: 7,
        wait,
      });
      assert.ok(answer.frames.length <= 7);
      cursor = answer.cursor;
      events += answer.frames.filter(({ frame }) => frame.case === "event").length;
    }
  });

  it("adds up what the session's requests cost on the wire", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const client = rpcClient(RealtimeService, { url: test.url, token: ana.token });
    const { sessionId } = await client.poll({ open });
    const [session] = test.gateway.sessions.all();
    const once = session?.outlet.wire() ?? { bytesIn: 0, bytesOut: 0 };
    assert.ok(once.bytesIn > 200 && once.bytesOut > 100, JSON.stringify(once));
    await client.poll({ sessionId });
    const twice = session?.outlet.wire() ?? { bytesIn: 0, bytesOut: 0 };
    assert.ok(twice.bytesIn > once.bytesIn * 1.5 && twice.bytesIn < once.bytesIn * 3);
    assert.ok(twice.bytesOut > once.bytesOut);
  });
});

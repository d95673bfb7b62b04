import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { GoodbyeReason, ReconnectAdvice } from "@parley/gen/parley/realtime/v1/frame_pb";
import { createManualClock } from "@parley/platform/clock";
import { newUuid } from "@parley/platform/ids";
import { startTestGateway, UNLIMITED } from "../testing/test-gateway.ts";
import { TestSocket } from "../testing/test-socket.ts";

const content = { kind: { case: "text", value: { text: "hi" } } } as const;
const contentBytes = Buffer.from("CgQKAmhp", "base64"); // Content{text{"hi"}}
const payload = new Uint8Array([1]);
const body = { case: "payload", value: payload } as const;
const JSON_PROTOCOL = { protocol: "parley.v1.json" };

const sendOf = (conversationId: string) =>
  ({
    case: "send",
    value: { conversationId, clientMessageId: newUuid(), body },
  }) as const;

describe("a WebSocket session", () => {
  it("opens, catches up, and gets live events", async () => {
    await using test = await startTestGateway();
    const { chat, registry } = test.services;
    const [ana, ben] = [await test.person(), await test.person()];
    const conversationId = chat.createConversation([ana.userId, ben.userId]);
    chat.append({ conversationId, senderUserId: ben.userId, payload });
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    const opened = await socket.next("opened");
    assert.equal(opened.userId, ana.userId);
    assert.equal(opened.deviceId, ana.deviceId);
    assert.equal(opened.heartbeatInterval?.seconds, 5n);
    assert.ok(registry.sessions.has(opened.sessionId));
    chat.append({ conversationId, senderUserId: ben.userId, payload });
    await socket.until(() => socket.messages.length === 2);
    assert.deepEqual(socket.seqsOf(conversationId), [1, 2]);
  });

  it("gets the answer to a send in place of the event, in the order of the sends", async () => {
    await using test = await startTestGateway();
    const [ana, ben] = [await test.person(), await test.person()];
    const conversationId = test.services.chat.createConversation([ana.userId, ben.userId]);
    await using sender = await TestSocket.open(test.port, { accessToken: ana.token });
    await using sibling = await TestSocket.open(test.port, { accessToken: ana.token });
    await using receiver = await TestSocket.open(test.port, { accessToken: ben.token });
    const requests = Array.from({ length: 50 }, () => sender.send(sendOf(conversationId)));
    for (const [index, requestId] of requests.entries()) {
      const answer = await sender.answer(requestId);
      assert.ok(answer.case === "sent");
      assert.equal(answer.value.seq, BigInt(index + 1));
    }
    const all = requests.map((_, index) => index + 1);
    for (const socket of [sibling, receiver]) {
      await socket.until(() => socket.messages.length === 50);
      assert.deepEqual(socket.seqsOf(conversationId), all);
    }
    assert.deepEqual(sender.seqsOf(conversationId), []);
  });

  it("repeats a send with the same id without sending twice", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const conversationId = test.services.chat.createConversation([ana.userId]);
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    const frame = sendOf(conversationId);
    const answers = [
      await socket.answer(socket.send(frame)),
      await socket.answer(socket.send(frame)),
    ];
    const sent = answers.flatMap((answer) => (answer.case === "sent" ? [answer.value] : []));
    assert.deepEqual(
      sent.map(({ seq, duplicate }) => [seq, duplicate]),
      [
        [1n, false],
        [1n, true],
      ],
    );
  });

  it("speaks JSON with decoded events and content", async () => {
    await using test = await startTestGateway();
    const { chat, calls } = test.services;
    const [ana, ben] = [await test.person(), await test.person()];
    const readable = chat.createConversation([ana.userId, ben.userId]);
    const secret = chat.createConversation([ana.userId], EncryptionMode.END_TO_END);
    await using socket = await TestSocket.open(
      test.port,
      { accessToken: ana.token },
      JSON_PROTOCOL,
    );
    for (const conversationId of [readable, secret, readable]) {
      chat.append({ conversationId, senderUserId: ben.userId, payload: contentBytes });
    }
    await socket.until(() => socket.messages.length === 3);
    assert.deepEqual(
      socket.messages.map((message) => [message.conversationId, message.content?.kind.case]),
      [
        [readable, "text"],
        [secret, undefined],
        [readable, "text"],
      ],
    );
    assert.ok(socket.texts.some((text) => text.startsWith('{"decodedEvent":')));
    assert.equal(calls.get("GetConversation"), 2, "a mode is asked for once");
    const value = { conversationId: readable, clientMessageId: newUuid() };
    const sent = socket.send({
      case: "send",
      value: { ...value, body: { case: "content", value: content } },
    });
    assert.equal((await socket.answer(sent)).case, "sent");
    assert.deepEqual(Buffer.from(chat.get(readable).entries.at(-1)?.payload ?? []), contentBytes);
    const refusedId = socket.send({
      case: "send",
      value: { ...value, conversationId: secret, body: { case: "content", value: content } },
    });
    const refused = await socket.answer(refusedId);
    assert.ok(refused.case === "refused");
    assert.deepEqual(
      [refused.value.reason, refused.value.field],
      ["CONTENT_NOT_READABLE", "content"],
    );
  });

  it("keeps the order of sends while one of them has to ask for its conversation's mode", async () => {
    await using test = await startTestGateway();
    const { chat } = test.services;
    const ana = await test.person();
    const conversationId = chat.createConversation([ana.userId]);
    await using socket = await TestSocket.open(
      test.port,
      { accessToken: ana.token },
      JSON_PROTOCOL,
    );
    const asked = Promise.withResolvers<void>();
    test.services.hold = (rpc) => (rpc === "GetConversation" ? asked.promise : undefined);
    const value = { conversationId, clientMessageId: newUuid() };
    const first = socket.send({
      case: "send",
      value: { ...value, body: { case: "content", value: content } },
    });
    const second = socket.send(sendOf(conversationId));
    const beat = socket.send({ case: "heartbeat", value: {} });
    await socket.answer(beat);
    asked.resolve();
    const answers = [await socket.answer(first), await socket.answer(second)];
    assert.deepEqual(
      answers.map((answer) => (answer.case === "sent" ? answer.value.seq : answer.case)),
      [1n, 2n],
    );
  });

  it("refuses frames with reason, field and delay, and goes on", async () => {
    const rates = { ...UNLIMITED, sendsPerSecond: 1, callsPerSecond: 1000 };
    const clock = createManualClock(Date.now());
    await using test = await startTestGateway({ config: { rates }, clock });
    const ana = await test.person();
    const conversationId = test.services.chat.createConversation([ana.userId]);
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    const refusalOf = async (requestId: bigint) => {
      const answer = await socket.answer(requestId);
      assert.ok(answer.case === "refused", `${answer.case}`);
      return answer.value;
    };
    const unknown = await refusalOf(socket.send(sendOf(newUuid())));
    assert.deepEqual([unknown.code, unknown.reason], [5, "CONVERSATION_NOT_FOUND"]);
    const invalid = await refusalOf(socket.send(sendOf("nonsense")));
    assert.deepEqual([invalid.code, invalid.field], [3, "send.conversation_id"]);
    for (let count = 0; count < 4; count++) socket.send(sendOf(conversationId));
    const fast = await refusalOf(socket.send(sendOf(conversationId)));
    assert.deepEqual([fast.code, fast.reason], [8, "RATE_LIMITED"]);
    assert.ok((fast.retryDelay?.nanos ?? 0) > 0 || (fast.retryDelay?.seconds ?? 0n) > 0n);
    // Field 15 is nobody's: a frame of a newer contract.
    socket.socket.send(Buffer.from([0x08, 0x63, 0x7a, 0x00]));
    assert.equal((await refusalOf(99n)).code, 12);
  });

  it("bounds the frames that wait for an answer", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const conversationId = test.services.chat.createConversation([ana.userId]);
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    const held = Promise.withResolvers<void>();
    test.services.hold = (rpc) => (rpc === "AppendBatches" ? held.promise : undefined);
    const requests = Array.from({ length: 257 }, () => socket.send(sendOf(conversationId)));
    const refused = await socket.answer(requests[256] ?? 0n);
    assert.ok(refused.case === "refused");
    assert.equal(refused.value.reason, "TOO_MANY_IN_FLIGHT");
    held.resolve();
    for (const requestId of requests.slice(0, 256)) {
      assert.equal((await socket.answer(requestId)).case, "sent");
    }
  });

  it("passes typing on once in three seconds, and receipts as the person's own", async () => {
    const clock = createManualClock(Date.now());
    await using test = await startTestGateway({ clock });
    const { chat, typing, receipts } = test.services;
    const ana = await test.person();
    const conversations = [
      chat.createConversation([ana.userId]),
      chat.createConversation([ana.userId]),
    ];
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    const type = () => {
      for (const conversationId of conversations) {
        socket.send({ case: "typing", value: { conversationId, typing: true } });
      }
      return socket.answer(socket.send({ case: "heartbeat", value: {} }));
    };
    await type();
    await type();
    assert.equal(typing.length, 2);
    clock.advance(3000);
    await type();
    assert.equal(typing.length, 4);
    assert.equal(typing[0]?.userId, ana.userId);
    const [conversationId = ""] = conversations;
    const value = { conversationId, deliveredSeq: 4n, readSeq: 3n };
    assert.equal((await socket.answer(socket.send({ case: "receipt", value }))).case, "done");
    assert.deepEqual(receipts, [{ userId: ana.userId, conversationId, readSeq: 3n }]);
  });

  it("takes a newer token of the same device and no other", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const sibling = await test.person({ userId: ana.userId });
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    const { userId, deviceId } = ana;
    const expireTimeMs = Math.floor(Date.now() / 1000 + 9000) * 1000;
    const accessToken = await test.services.mint.mint({ userId, deviceId, expireTimeMs });
    const authenticate = (token: string) =>
      socket.answer(socket.send({ case: "authenticate", value: { accessToken: token } }));
    assert.equal((await authenticate(accessToken)).case, "done");
    const [session] = test.gateway.sessions.all();
    assert.equal(session?.expireTimeMs, expireTimeMs);
    for (const [token, reason] of [
      [sibling.token, "TOKEN_OF_ANOTHER_DEVICE"],
      ["rubbish", "TOKEN_INVALID"],
    ] as const) {
      const answer = await authenticate(token);
      assert.ok(answer.case === "refused");
      assert.equal(answer.value.reason, reason);
    }
  });

  it("ends the oldest of nine sessions of a device", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const sockets: TestSocket[] = [];
    for (let count = 0; count < 9; count++) {
      sockets.push(await TestSocket.open(test.port, { accessToken: ana.token }));
    }
    const goodbye = await sockets[0]?.next("goodbye");
    assert.equal(goodbye?.reason, GoodbyeReason.SESSION_LIMIT);
    assert.equal(goodbye?.reconnect, ReconnectAdvice.STOP);
    assert.equal(await sockets[0]?.closed(), 4500 + GoodbyeReason.SESSION_LIMIT);
    assert.equal(test.gateway.sessions.size, 8);
    for (const socket of sockets) await socket[Symbol.asyncDispose]();
  });

  it("refuses who has no valid token, or whose registration fails", async () => {
    await using test = await startTestGateway();
    const { mint, revokedDevices, registry } = test.services;
    const [ana, ben] = [await test.person(), await test.person()];
    revokedDevices.add(ben.deviceId);
    const expired = await test.person({ expireTimeMs: Date.now() - 60_000 });
    const foreign = await mint.mint({ ...ana, expireTimeMs: Date.now() + 60_000, issuer: "other" });
    for (const accessToken of ["", "nonsense", expired.token, foreign, ben.token]) {
      await using socket = await TestSocket.connect(test.port);
      socket.send({ case: "open", value: { accessToken } });
      assert.equal((await socket.next("goodbye")).reason, GoodbyeReason.UNAUTHENTICATED);
      assert.equal(await socket.closed(), 4900 + GoodbyeReason.UNAUTHENTICATED);
    }
    registry.failing = new Error("the registry is away");
    await using socket = await TestSocket.connect(test.port);
    socket.send({ case: "open", value: { accessToken: ana.token } });
    assert.equal((await socket.next("goodbye")).reconnect, ReconnectAdvice.RECONNECT);
    assert.equal(test.gateway.sessions.size, 0);
  });

  it("tells a client that does not read to resume, in bounded memory", async () => {
    await using test = await startTestGateway();
    const { chat } = test.services;
    const [ana, ben] = [await test.person(), await test.person()];
    const conversationId = chat.createConversation([ana.userId, ben.userId]);
    await using slow = await TestSocket.open(test.port, { accessToken: ana.token });
    const sessionOf = () => test.gateway.sessions.firstOf(ana.userId);
    slow.socket.pause();
    const large = new Uint8Array(100_000);
    let sent = 0;
    let most = 0;
    while (sessionOf() !== undefined) {
      chat.append({ conversationId, senderUserId: ben.userId, payload: large });
      await test.acknowledged();
      most = Math.max(most, sessionOf()?.outlet.waitingFrames ?? 0);
      assert.ok(++sent < 1000, "the bound is reached");
    }
    assert.ok(most * large.length <= 1024 * 1024, `${most} frames waited`);
    slow.socket.resume();
    const resync = await slow.next("resyncRequired");
    assert.ok(resync.waitingFrames > 0);
    assert.equal((await slow.next("goodbye")).reason, GoodbyeReason.SLOW_CONSUMER);
    assert.equal(await slow.closed(), 4000 + GoodbyeReason.SLOW_CONSUMER);
    const seqs = slow.seqsOf(conversationId);
    assert.deepEqual(
      seqs,
      seqs.map((_, index) => index + 1),
      "what came has no gap",
    );

    const positions = [{ conversationId, seq: BigInt(seqs.length) }];
    await using again = await TestSocket.open(test.port, {
      accessToken: ana.token,
      positions,
      catchUpMessagesMax: 1000,
    });
    assert.equal(again.seqsOf(conversationId).length + seqs.length, sent);
  });

  it("answers pings, and counts pongs as signs of life", async () => {
    const clock = createManualClock(Date.now());
    await using test = await startTestGateway({ clock });
    const ana = await test.person({ expireTimeMs: clock.nowMs() + 3_600_000 });
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    const pong = new Promise<Buffer>((resolve) => socket.socket.once("pong", resolve));
    socket.socket.ping("abc");
    assert.equal((await pong).toString(), "abc");
    for (let seconds = 0; seconds < 120; seconds += 5) {
      const ping =
        seconds >= 10 ? new Promise((resolve) => socket.socket.once("ping", resolve)) : undefined;
      for (let count = 0; count < 5; count++) clock.advance(1000);
      await Promise.race([ping, new Promise((resolve) => setTimeout(resolve, 20))]);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(socket.closeCode, undefined);
    assert.equal(test.gateway.sessions.size, 1);
  });

  it("is closed by its client with an answer and a normal end", async () => {
    await using test = await startTestGateway();
    const { token: accessToken } = await test.person();
    for (const protocol of ["parley.v1.proto", "parley.v1.json"]) {
      await using socket = await TestSocket.open(test.port, { accessToken }, { protocol });
      const requestId = socket.send({ case: "close", value: {} });
      socket.send({ case: "heartbeat", value: {} });
      assert.equal(await socket.closed(), 1000);
      const last = socket.frames.at(-1);
      assert.deepEqual([last?.requestId, last?.frame.case], [requestId, "done"]);
      assert.equal(test.gateway.sessions.size, 0);
      assert.equal(test.services.registry.sessions.size, 0);
    }
  });

  it("is taken out of the registry when its connection breaks", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const socket = await TestSocket.open(test.port, { accessToken: ana.token });
    socket.socket.terminate();
    while (test.services.registry.sessions.size > 0) {
      await new Promise((next) => setImmediate(next));
    }
    assert.equal(test.gateway.sessions.size, 0);
  });
});

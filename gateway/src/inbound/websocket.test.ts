import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newUuid } from "@parley/platform/ids";
import { startTestGateway } from "../testing/test-gateway.ts";
import { TestSocket } from "../testing/test-socket.ts";

const payload = (text: string) => new TextEncoder().encode(text);

describe("the WebSocket road", () => {
  it("opens a session, catches it up, and delivers live events", async () => {
    await using test = await startTestGateway();
    const { chat, registry } = test.services;
    const [ana, ben] = [await test.person(), await test.person()];
    const conversationId = chat.createConversation([ana.userId, ben.userId]);
    chat.append({ conversationId, senderUserId: ben.userId, payload: payload("one") });
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    const opened = await socket.next("opened");
    assert.equal(opened.userId, ana.userId);
    assert.equal(opened.deviceId, ana.deviceId);
    assert.ok(registry.sessions.has(opened.sessionId));
    chat.append({ conversationId, senderUserId: ben.userId, payload: payload("two") });
    await socket.until(() => socket.messages.length === 2);
    assert.deepEqual(socket.seqsOf(conversationId), [1, 2]);
  });

  it("answers sends in place of the sender's own event", async () => {
    await using test = await startTestGateway();
    const [ana, ben] = [await test.person(), await test.person()];
    const conversationId = test.services.chat.createConversation([ana.userId, ben.userId]);
    await using sender = await TestSocket.open(test.port, { accessToken: ana.token });
    await using receiver = await TestSocket.open(test.port, { accessToken: ben.token });
    const answers: bigint[] = [];
    for (let count = 0; count < 50; count++) {
      const body = { case: "payload", value: payload(`m${count}`) } as const;
      answers.push(
        sender.send({ case: "send", value: { conversationId, clientMessageId: newUuid(), body } }),
      );
    }
    for (const [index, requestId] of answers.entries()) {
      const answer = await sender.answer(requestId);
      assert.equal(answer.case, "sent");
      if (answer.case === "sent") assert.equal(answer.value.seq, BigInt(index + 1));
    }
    await receiver.until(() => receiver.messages.length === 50);
    assert.deepEqual(
      receiver.seqsOf(conversationId),
      Array.from({ length: 50 }, (_, index) => index + 1),
    );
    assert.deepEqual(sender.seqsOf(conversationId), []);
  });
});

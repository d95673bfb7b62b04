import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  ConversationKind,
  EncryptionMode,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ContentSchema } from "@parley/gen/parley/message/v1/content_pb";
import { ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";
import { reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { asDevice, createdItem, openMessageWorld } from "../testing/message-world.ts";

describe("SendMessage", () => {
  it("sends as the calling device, and answers when the message can be read", async () => {
    await using world = await openMessageWorld();
    const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben]));
    const request = {
      conversationId,
      clientMessageId: newUuid(),
      body: { case: "payload" as const, value: new Uint8Array([1, 2, 3]) },
      clientTime: timestampFromMs(1_700_000_000_123),
    };
    const sent = await world.messages.sendMessage(request, asDevice(ann, "phone"));
    assert.equal(sent.seq, 2n);
    assert.equal(sent.duplicate, false);
    const listed = await world.messages.listMessages(
      { conversationId, direction: ReadDirection.OLDER, pageSize: 1 },
      asDevice(ben),
    );
    const [message] = listed.messages;
    assert.equal(message?.senderUserId, ann);
    assert.equal(message?.senderDeviceId, "phone");
    assert.equal(message?.messageId, sent.messageId);
    assert.deepEqual(message?.acceptTime, sent.acceptTime);
    assert.equal(message?.clientTime && timestampMs(message.clientTime), 1_700_000_000_123);
    assert.deepEqual(message?.body, { case: "payload", value: new Uint8Array([1, 2, 3]) });
    const again = await world.messages.sendMessage(request, asDevice(ann, "phone"));
    assert.deepEqual({ ...again, duplicate: false }, { ...sent });
    assert.equal(again.duplicate, true);
  });

  it("encodes a content where the server may read, and nowhere else", async () => {
    await using world = await openMessageWorld();
    const [readable, encrypted, ann, ben] = [newUuid(), newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(readable, [ann, ben]));
    const { END_TO_END } = EncryptionMode;
    await world.append(createdItem(encrypted, [ann, ben], ConversationKind.DIRECT, END_TO_END));
    const body = {
      case: "content" as const,
      value: { kind: { case: "text" as const, value: { text: "hello" } } },
    };
    await world.messages.sendMessage(
      { conversationId: readable, clientMessageId: newUuid(), body },
      asDevice(ann),
    );
    const { messages } = await world.messages.listMessages(
      { conversationId: readable, direction: ReadDirection.OLDER, pageSize: 1 },
      asDevice(ben),
    );
    const stored = messages[0]?.body;
    const content = fromBinary(
      ContentSchema,
      stored?.case === "payload" ? stored.value : new Uint8Array(),
    );
    assert.equal(content.kind.case === "text" && content.kind.value.text, "hello");
    const send = (userId: string) =>
      world.messages.sendMessage(
        { conversationId: encrypted, clientMessageId: newUuid(), body },
        asDevice(userId),
      );
    await assert.rejects(send(ann), (error) => {
      assert.equal(reasonOf(error), "CONTENT_NOT_READABLE");
      return true;
    });
    await assert.rejects(send(newUuid()), (error) => {
      assert.equal(reasonOf(error), "CONVERSATION_NOT_FOUND", "a stranger learns nothing");
      return true;
    });
  });

  it("keeps the server's own limit", async () => {
    await using world = await openMessageWorld({ config: { payloadBytesMax: 1024 } });
    const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben]));
    const send = (bytes: number) =>
      world.messages.sendMessage(
        {
          conversationId,
          clientMessageId: newUuid(),
          body: { case: "payload", value: new Uint8Array(bytes) },
        },
        asDevice(ann),
      );
    assert.equal((await send(1024)).seq, 2n);
    await assert.rejects(send(1025), (error) => {
      assert.ok(error instanceof ConnectError);
      assert.equal(error.code, Code.InvalidArgument);
      assert.equal(reasonOf(error), "PAYLOAD_TOO_LARGE");
      return true;
    });
  });

  it("takes the time of acceptance for a device without a clock", async () => {
    await using world = await openMessageWorld();
    const [conversationId, ann, ben] = [newUuid(), newUuid(), newUuid()];
    await world.append(createdItem(conversationId, [ann, ben]));
    const body = { case: "payload" as const, value: new Uint8Array([1]) };
    await world.messages.sendMessage(
      { conversationId, clientMessageId: newUuid(), body },
      asDevice(ann),
    );
    const { messages } = await world.messages.listMessages(
      { conversationId, direction: ReadDirection.OLDER, pageSize: 1 },
      asDevice(ann),
    );
    assert.deepEqual(messages[0]?.clientTime, messages[0]?.acceptTime);
  });
});

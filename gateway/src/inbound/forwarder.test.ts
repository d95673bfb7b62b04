import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, type ConnectError } from "@connectrpc/connect";
import { DevicePlatform } from "@parley/gen/parley/account/v1/account_pb";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { EncryptionMode } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import { InboxService } from "@parley/gen/parley/message/v1/inbox_service_pb";
import { MessageService, ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";
import { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { errorInfoOf, reasonOf } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { rpcClient } from "../testing/rpc-clients.ts";
import { startTestGateway } from "../testing/test-gateway.ts";
import { forward } from "./forwarder.ts";

const contentBytes = Buffer.from("CgQKAmhp", "base64"); // Content{text{"hi"}}
const content = { kind: { case: "text", value: { text: "hi" } } } as const;
const device = { name: "d", platform: DevicePlatform.NODE };

describe("forwarded RPCs", () => {
  for (const protocol of ["connect", "grpc"] as const) {
    it(`carry the caller and come back whole over ${protocol}`, async () => {
      await using test = await startTestGateway();
      const ana = await test.person();
      const client = rpcClient(AccountService, { url: test.url, token: ana.token, protocol });
      const account = await client.getAccount({});
      assert.deepEqual([account.user?.userId, account.deviceId], [ana.userId, ana.deviceId]);
    });

    it(`carry refusals with their details over ${protocol}`, async () => {
      await using test = await startTestGateway();
      const client = rpcClient(AccountService, { url: test.url, protocol });
      await assert.rejects(client.signIn({ username: "x", password: "y", device }), (error) => {
        assert.equal((error as ConnectError).code, Code.PermissionDenied);
        assert.deepEqual(errorInfoOf(error)?.metadata, { username: "shown" });
        return reasonOf(error) === "BAD_CREDENTIALS";
      });
    });
  }

  it("say what is wrong with a token, and let it be where none is needed", async () => {
    await using test = await startTestGateway();
    const expired = await test.person({ expireTimeMs: Date.now() - 60_000 });
    for (const [token, reason] of [
      [undefined, "DEVICE_REQUIRED"],
      [expired.token, "TOKEN_EXPIRED"],
      ["a.b.c", "TOKEN_INVALID"],
    ] as const) {
      const client = rpcClient(AccountService, { url: test.url, token });
      await assert.rejects(client.getAccount({}), (error) => {
        assert.equal((error as ConnectError).code, Code.Unauthenticated);
        return reasonOf(error) === reason;
      });
      await client.signUp({ username: "ana", password: "long enough", device });
    }
  });

  it("end a signed-out device's calls at once", async () => {
    await using test = await startTestGateway();
    const client = rpcClient(AccountService, { url: test.url, token: (await test.person()).token });
    await client.getAccount({});
    await client.signOut({});
    await assert.rejects(client.getAccount({}), (error) => reasonOf(error) === "DEVICE_REVOKED");
  });

  it("are cancelled with the caller, and late with its deadline", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const conversationId = test.services.chat.createConversation([ana.userId]);
    const client = rpcClient(ConversationService, { url: test.url, token: ana.token });
    const never = new Promise<void>(() => undefined);
    test.services.hold = (rpc) => (rpc === "GetConversation" ? never : undefined);
    await assert.rejects(client.getConversation({ conversationId }, { timeoutMs: 100 }), {
      code: Code.DeadlineExceeded,
    });
    const abort = new AbortController();
    const call = client.getConversation({ conversationId }, { signal: abort.signal });
    setTimeout(() => abort.abort(), 50);
    await assert.rejects(call, { code: Code.Canceled });
  });

  it("encode content for clients with JSON, and show it to them again", async () => {
    await using test = await startTestGateway();
    const ana = await test.person();
    const conversationId = test.services.chat.createConversation([ana.userId]);
    const options = { url: test.url, token: ana.token };
    const json = rpcClient(MessageService, { ...options, json: true });
    const clientMessageId = newUuid();
    const body = { case: "content", value: content } as const;
    await json.sendMessage({ conversationId, clientMessageId, body });
    const { entries } = test.services.chat.get(conversationId);
    assert.deepEqual(Buffer.from(entries[0]?.payload ?? []), contentBytes);

    const request = { conversationId, direction: ReadDirection.NEWER };
    const [shown] = (await json.listMessages(request)).messages;
    assert.equal(shown?.content?.kind.case, "text");
    assert.equal(shown?.body.case, "payload");
    const [binary] = (await rpcClient(MessageService, options).listMessages(request)).messages;
    assert.equal(binary?.content, undefined);
    const inbox = await rpcClient(InboxService, { ...options, json: true }).listInbox({});
    assert.equal(inbox.entries[0]?.lastMessage?.content?.kind.case, "text");
    const bytes = await rpcClient(InboxService, options).listInbox({});
    assert.equal(bytes.entries[0]?.lastMessage?.content, undefined);
  });

  it("neither take nor show content of an encrypted conversation", async () => {
    await using test = await startTestGateway();
    const { chat } = test.services;
    const ana = await test.person();
    const conversationId = chat.createConversation([ana.userId], EncryptionMode.END_TO_END);
    chat.append({ conversationId, senderUserId: ana.userId, payload: contentBytes });
    const json = rpcClient(MessageService, { url: test.url, token: ana.token, json: true });
    const body = { case: "content", value: content } as const;
    await assert.rejects(
      json.sendMessage({ conversationId, clientMessageId: newUuid(), body }),
      (error) => reasonOf(error) === "CONTENT_NOT_READABLE",
    );
    const request = { conversationId, direction: ReadDirection.NEWER };
    const [message] = (await json.listMessages(request)).messages;
    assert.equal(message?.content, undefined);
    assert.equal(chat.get(conversationId).entries.length, 1);
  });

  it("are all unary", () => {
    const transport = createInProcessTransport({ routes: [], interceptors: [] });
    const content = { encode: () => assert.fail(), decode: () => assert.fail() };
    assert.throws(
      () => forward(RealtimeService, transport, { content, onAccountChanged: () => undefined }),
      /is a stream/,
    );
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { DeliveryService } from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { newUuid } from "@parley/platform/ids";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { createMemorySpanSink } from "@parley/platform/telemetry/span-sink";
import { createTelemetry, silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { startTestGateway, type TestGateway } from "../testing/test-gateway.ts";
import { TestSocket } from "../testing/test-socket.ts";

const payload = new Uint8Array([1]);

function deliveryClient({ gateway }: TestGateway) {
  const transport = createInProcessTransport({
    routes: gateway.routes,
    interceptors: standardInterceptors(silentTelemetry()),
    asCaller: { kind: "internal", service: "test" },
  });
  return createClient(DeliveryService, transport);
}

async function* once<T>(...items: T[]): AsyncGenerator<T> {
  yield* items;
}

const typing = toBinary(
  EventSchema,
  create(EventSchema, { event: { case: "typing", value: { typing: true } } }),
);

describe("DeliverBatches", () => {
  it("delivers to all sessions of the people, and names those who are not here", async () => {
    await using test = await startTestGateway();
    const [ana, ben] = [await test.person(), await test.person()];
    await using first = await TestSocket.open(test.port, { accessToken: ana.token });
    await using second = await TestSocket.open(test.port, { accessToken: ana.token });
    await using third = await TestSocket.open(test.port, { accessToken: ben.token });
    const gone = newUuid();
    const deliveries = [{ userIds: [ana.userId, gone, ben.userId], events: [{ event: typing }] }];
    const client = deliveryClient(test);
    for await (const answer of client.deliverBatches(once({ batchNumber: 1n, deliveries }))) {
      assert.equal(answer.batchNumber, 1n);
      assert.deepEqual(answer.absentUserIds, [gone]);
    }
    for (const socket of [first, second, third]) await socket.next("event");
  });

  it("drops what a session has already, and keeps the order of the rest", async () => {
    await using test = await startTestGateway();
    const { chat } = test.services;
    const ana = await test.person();
    const conversationId = chat.createConversation([ana.userId]);
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    test.holdDeliveries();
    for (let count = 0; count < 4; count++) {
      chat.append({ conversationId, senderUserId: ana.userId, payload });
    }
    const events = chat
      .get(conversationId)
      .entries.map(({ seq, event }) => ({ seq: BigInt(seq), event }));
    const batch = (batchNumber: bigint, from: number, to: number) => ({
      batchNumber,
      deliveries: [{ conversationId, userIds: [ana.userId], events: events.slice(from, to) }],
    });
    const batches = once(batch(1n, 0, 2), batch(2n, 0, 3), batch(3n, 2, 4));
    for await (const _ of deliveryClient(test).deliverBatches(batches));
    await socket.until(() => socket.messages.length === 4);
    assert.deepEqual(socket.seqsOf(conversationId), [1, 2, 3, 4]);
  });

  it("reads what was lost before an entry", async () => {
    await using test = await startTestGateway();
    const { chat } = test.services;
    const ana = await test.person();
    const conversationId = chat.createConversation([ana.userId]);
    await using socket = await TestSocket.open(test.port, { accessToken: ana.token });
    const append = () => chat.append({ conversationId, senderUserId: ana.userId, payload });
    append();
    await socket.until(() => socket.messages.length === 1);
    test.dropDeliveries = true;
    append();
    append();
    test.dropDeliveries = false;
    append();
    await socket.until(() => socket.messages.length === 4);
    assert.deepEqual(socket.seqsOf(conversationId), [1, 2, 3, 4]);
    assert.equal(socket.frames.filter(({ frame }) => frame.case === "caughtUp").length, 1);
  });

  it("refuses a batch out of its turn", async () => {
    await using test = await startTestGateway();
    const deliveries = [{ userIds: [newUuid()], events: [{ event: typing }] }];
    const answers = deliveryClient(test).deliverBatches(once({ batchNumber: 2n, deliveries }));
    await assert.rejects(
      async () => {
        for await (const _ of answers) assert.fail("an answer came");
      },
      { code: Code.InvalidArgument },
    );
  });

  it("records a span for a traced event, as a child of the message's own", async () => {
    const sink = createMemorySpanSink();
    await using telemetry = createTelemetry({
      serviceName: "test",
      logLevel: "silent",
      logFormat: "json",
      showPersonal: false,
      tracing: { sampleRatio: 1, sink },
    });
    await using test = await startTestGateway({ telemetry });
    const [ana, ben] = [await test.person(), await test.person()];
    const conversationId = test.services.chat.createConversation([ana.userId, ben.userId]);
    await using sender = await TestSocket.open(test.port, { accessToken: ana.token });
    await using receiver = await TestSocket.open(test.port, { accessToken: ben.token });
    const body = { case: "payload", value: payload } as const;
    sender.send({ case: "send", value: { conversationId, clientMessageId: newUuid(), body } });
    await receiver.until(() => receiver.messages.length === 1);
    await sender.next("sent");
    const received = sink.finished().find(({ name }) => name === "gateway.receive");
    const delivered = sink.finished().find(({ name }) => name === "gateway.deliver");
    assert.ok(received !== undefined && delivered !== undefined);
    assert.equal(delivered.traceId, received.traceId);
    assert.equal(delivered.parentSpanId, received.spanId);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  type DeliverBatchesRequest,
  DeliverBatchesRequestSchema,
  DeliveryService,
} from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { createAsyncQueue } from "@parley/platform/async/queue";
import { unavailable } from "@parley/platform/errors";
import { createGrpcHost } from "@parley/platform/rpc/grpc-host";
import { createGrpcTransport } from "@parley/platform/rpc/grpc-transport";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { startTestGateway, type TestGateway } from "../testing/test-gateway.ts";
import { TestSocket } from "../testing/test-socket.ts";
import { SESSIONS_AT_ONCE_MAX } from "./deliver-batches-missed.ts";

const payload = new Uint8Array([1]);
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const interceptors = standardInterceptors(silentTelemetry());

function inProcess({ gateway }: TestGateway): Transport {
  const asCaller = { kind: "internal", service: "fanout" } as const;
  return createInProcessTransport({ routes: gateway.routes, interceptors, asCaller });
}

/** The gateway's way in for fan-out when it is a process of its own. */
async function overNetwork({ gateway }: TestGateway) {
  const serviceToken = "service-token";
  await using resources = new AsyncDisposableStack();
  const address = { host: "127.0.0.1", port: 0 };
  const { routes } = gateway;
  const host = resources.use(await createGrpcHost({ routes, interceptors, address, serviceToken }));
  const transport = resources.use(
    createGrpcTransport({
      addresses: [`127.0.0.1:${host.address.port}`],
      serviceToken,
      serviceName: "fanout",
      defaultTimeoutMs: 5000,
    }),
  );
  const owned = resources.move();
  return { transport, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A stream of a fan-out beside the test gateway's own. */
function openStream(test: TestGateway, transport: Transport = inProcess(test)) {
  const batches = createAsyncQueue<DeliverBatchesRequest>({ max: 100 });
  const abort = new AbortController();
  const { signal } = abort;
  const answers = createClient(DeliveryService, transport)
    .deliverBatches(batches, { signal })
    [Symbol.asyncIterator]();
  let batchNumber = 0n;
  return {
    /** Sends a batch and resolves when it was acknowledged. */
    async send(batch: { missedUserIds?: string[]; everybodyMissed?: boolean }) {
      batches.push(create(DeliverBatchesRequestSchema, { ...batch, batchNumber: ++batchNumber }));
      assert.equal((await answers.next()).value?.batchNumber, batchNumber);
    },
    async end() {
      batches.close();
      assert.equal((await answers.next()).done, true);
    },
    async break() {
      abort.abort();
      await assert.rejects(answers.next());
    },
  };
}

/** Two people in a conversation, each with a live session that missed one entry. */
async function twoWhoMissed(test: TestGateway) {
  const { chat } = test.services;
  const [ana, ben] = [await test.person(), await test.person()];
  const conversationId = chat.createConversation([ana.userId, ben.userId]);
  const sockets = {
    ana: await TestSocket.open(test.port, { accessToken: ana.token }),
    ben: await TestSocket.open(test.port, { accessToken: ben.token }),
  };
  test.dropDeliveries = true;
  chat.append({ conversationId, senderUserId: ana.userId, payload });
  return { ana, ben, sockets };
}

describe("what passed sessions by", () => {
  it("is read again for the people who are named, and for nobody else", async () => {
    await using test = await startTestGateway();
    const { ana, sockets } = await twoWhoMissed(test);
    await using first = sockets.ana;
    await using second = sockets.ben;
    const stream = openStream(test);
    await stream.send({ missedUserIds: [ana.userId, "nobody of here"] });
    await first.until(() => first.messages.length === 1);
    await stream.send({ everybodyMissed: true });
    await second.until(() => second.messages.length === 1);
    assert.equal(first.messages.length, 1, "nothing is shown twice");
    await stream.end();
  });

  it("is read before what the same batch brings", async () => {
    await using test = await startTestGateway();
    const { ana, sockets } = await twoWhoMissed(test);
    await using first = sockets.ana;
    await using _second = sockets.ben;
    const { chat } = test.services;
    const conversationId = chat.createConversation([ana.userId]);
    chat.append({ conversationId, senderUserId: ana.userId, payload });
    const { entry } = chat.append({ conversationId, senderUserId: ana.userId, payload });
    // A session that knows nothing of a conversation would take any entry for its first.
    const deliveries = [
      { conversationId, userIds: [ana.userId], events: [{ seq: 2n, event: entry.event }] },
    ];
    const stream = openStream(test);
    await stream.send({ missedUserIds: [ana.userId], deliveries } as object);
    await first.until(() => first.messages.length === 3);
    assert.deepEqual(first.seqsOf(conversationId), [1, 2]);
    await stream.end();
  });

  it("is read for everybody when a stream breaks, once fan-out answers", async () => {
    await using test = await startTestGateway();
    const { sockets } = await twoWhoMissed(test);
    await using first = sockets.ana;
    await using second = sockets.ben;
    const stream = openStream(test);
    await stream.send({});
    let refused = 0;
    test.services.hold = (rpc) => {
      if (rpc !== "ListInboxHeads" || refused >= 6) return undefined;
      refused++;
      return Promise.reject(unavailable("DOWN", "fan-out restarts"));
    };
    await stream.break();
    await first.until(() => first.messages.length === 1);
    await second.until(() => second.messages.length === 1);
    assert.equal(refused, 6);
    assert.deepEqual([first.closeCode, second.closeCode], [undefined, undefined]);
  });

  it("is nothing when fan-out ends its stream", async () => {
    await using test = await startTestGateway();
    const { sockets } = await twoWhoMissed(test);
    await using first = sockets.ana;
    await using second = sockets.ben;
    const stream = openStream(test);
    await stream.send({});
    const asked = test.services.calls.get("ListInboxHeads");
    await stream.end();
    for (let at = 0; at < 10; at++) await turn();
    assert.equal(test.services.calls.get("ListInboxHeads"), asked);
    assert.equal(first.messages.length + second.messages.length, 0);
  });

  it("is told apart over a network, where a reset looks like an end at first", async () => {
    await using test = await startTestGateway();
    const { sockets } = await twoWhoMissed(test);
    await using first = sockets.ana;
    await using second = sockets.ben;
    await using network = await overNetwork(test);
    const ended = openStream(test, network.transport);
    await ended.send({});
    const asked = test.services.calls.get("ListInboxHeads");
    await ended.end();
    for (let at = 0; at < 10; at++) await turn();
    assert.equal(test.services.calls.get("ListInboxHeads"), asked);
    const broken = openStream(test, network.transport);
    await broken.send({});
    await broken.break();
    await first.until(() => first.messages.length === 1);
    await second.until(() => second.messages.length === 1);
  });

  it("is read for some at a time, and what comes meanwhile takes its place behind it", async () => {
    await using test = await startTestGateway();
    const { sockets } = await twoWhoMissed(test);
    await using first = sockets.ana;
    await using _second = sockets.ben;
    await using people = new AsyncDisposableStack();
    for (let count = 0; count < SESSIONS_AT_ONCE_MAX; count++) {
      const { token } = await test.person();
      people.use(await TestSocket.open(test.port, { accessToken: token }));
    }
    const last = await test.person();
    await using socket = await TestSocket.open(test.port, { accessToken: last.token });
    const held: (() => void)[] = [];
    test.services.hold = (rpc) =>
      rpc !== "ListInboxHeads" ? undefined : new Promise((resolve) => held.push(resolve));
    const stream = openStream(test);
    await stream.send({ everybodyMissed: true });
    for (let at = 0; at < 50; at++) await turn();
    assert.equal(held.length, SESSIONS_AT_ONCE_MAX);
    // The last one waits for its turn, and knows nothing of a conversation that began unheard.
    const { chat } = test.services;
    const conversationId = chat.createConversation([last.userId]);
    chat.append({ conversationId, senderUserId: last.userId, payload });
    test.dropDeliveries = false;
    chat.append({ conversationId, senderUserId: last.userId, payload });
    await stream.send({ everybodyMissed: true });
    test.services.hold = () => undefined;
    for (const answer of held.splice(0)) answer();
    await socket.until(() => socket.messages.length === 2);
    assert.deepEqual(socket.seqsOf(conversationId), [1, 2]);
    await first.until(() => first.messages.length === 1);
    await stream.end();
  });
});

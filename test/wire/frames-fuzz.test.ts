// Random bytes, in a session and instead of one: whatever comes, the session answers on or ends with a goodbye that is
// the client's fault; the process goes on, and so does everybody else's session.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it, type TestContext } from "node:test";
import { fromBinary, fromJsonString, toBinary, toJsonString } from "@bufbuild/protobuf";
import { ClientFrameSchema, GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import fc from "fast-check";
import { startTestServer, type TestServer } from "../harness/server.ts";
import {
  answerTo,
  assertAdvice,
  assertDelivers,
  type ClientFrameInit,
  endingOf,
  type FramesWorld,
  frame,
  openFramesWorld,
  openLive,
} from "./frames-world.ts";
import {
  encodeFrame,
  opcodes,
  openPeer,
  type Subprotocol,
  subprotocols,
  type WebSocketPeer,
} from "./websocket-peer.ts";

const RUNS = 1_000;
const STREAM_RUNS = 400;

let server: TestServer;
let world: FramesWorld;
let bystander: WebSocketPeer;

before(async () => {
  server = await startTestServer();
  world = await openFramesWorld(server);
  bystander = await openLive(world, "parley.v1.proto", world.other);
});

after(async () => {
  await bystander[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

describe("random frames", { concurrency: false }, () => {
  for (const protocol of subprotocols) {
    it(`in a session of ${protocol}`, (t) => messages(t, protocol));
    it(`as the bytes of a WebSocket of ${protocol}`, (t) => streams(t, protocol));
  }

  after(async () => {
    await using writer = await openLive(world, "parley.v1.json", world.sender);
    await assertDelivers(writer, bystander, world.groupId);
  });
});

/** Messages that may be anything: bytes, JSON, and frames of ours with some bytes changed. */
async function messages(t: TestContext, protocol: Subprotocol): Promise<void> {
  let peer: WebSocketPeer | undefined;
  let requestId = 1n << 40n;
  let goodbyes = 0;
  try {
    const property = fc.asyncProperty(payloads(protocol), async (payload) => {
      peer ??= await openLive(world, protocol, world.sender);
      const opcode = protocol === "parley.v1.proto" ? opcodes.binary : opcodes.text;
      peer.writeFrame({ opcode, payload });
      requestId += 1n;
      peer.send(frame({ requestId, frame: { case: "heartbeat", value: {} } }));
      const answered = await Promise.race([
        answerTo(peer, requestId).then(
          () => true,
          () => false,
        ),
        peer.ended.then(() => false),
      ]);
      if (answered) return;
      const ending = await endingOf(peer);
      peer = undefined;
      if (isClose(payload, protocol)) {
        assert.equal(ending.code, CLOSED_AS_ASKED);
        return;
      }
      assertAdvice(ending);
      assert.equal(ending.goodbye?.reason, GoodbyeReason.PROTOCOL_ERROR);
      goodbyes += 1;
    });
    await fc.assert(property, { numRuns: RUNS });
  } finally {
    await peer?.[Symbol.asyncDispose]();
  }
  assert.ok(goodbyes > 0 && goodbyes < RUNS, "some are refused, some end the session");
  t.diagnostic(`${RUNS} messages, ${goodbyes} goodbyes, ${RUNS - goodbyes} answered on`);
}

/** The WebSocket close code of a session that its client ended. */
const CLOSED_AS_ASKED = 1000;

/** Whether what was made by chance asks for the end of the session, which then ends without a goodbye. */
function isClose(payload: Uint8Array, protocol: Subprotocol): boolean {
  try {
    const { frame: asked } =
      protocol === "parley.v1.proto"
        ? fromBinary(ClientFrameSchema, payload)
        : fromJsonString(ClientFrameSchema, Buffer.from(payload).toString(), {
            ignoreUnknownFields: true,
          });
    return asked.case === "close";
  } catch {
    return false;
  }
}

function payloads(protocol: Subprotocol): fc.Arbitrary<Uint8Array> {
  const valid = fc.constantFrom(...arms()).map((init) => {
    const whole = frame({ requestId: 5n, frame: init });
    return protocol === "parley.v1.proto"
      ? toBinary(ClientFrameSchema, whole)
      : Buffer.from(toJsonString(ClientFrameSchema, whole));
  });
  const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
  const changed = fc.tuple(valid, changes).map(([bytes, places]) => {
    const copy = Uint8Array.from(bytes);
    for (const [at, value] of places) copy[at % copy.length] = value;
    return copy;
  });
  const cut = fc.tuple(valid, fc.nat()).map(([bytes, at]) => bytes.slice(0, at % bytes.length));
  const anything = fc.uint8Array({ maxLength: 400 });
  const json = fc.json({ maxDepth: 6 }).map((text) => Buffer.from(text));
  return fc.oneof(anything, changed, cut, json);
}

/** One of each that changes nothing but the session itself. */
function arms(): NonNullable<ClientFrameInit["frame"]>[] {
  const conversationId = randomUUID();
  const body = { case: "payload", value: Buffer.from("hello") } as const;
  return [
    { case: "send", value: { conversationId, clientMessageId: randomUUID(), body } },
    { case: "receipt", value: { conversationId, readSeq: 7n } },
    { case: "typing", value: { conversationId, typing: true } },
    { case: "watchPresence", value: { userIds: [randomUUID()], conversationId } },
    { case: "heartbeat", value: {} },
    { case: "authenticate", value: { accessToken: "a.b.c" } },
  ];
}

/** Bytes that may be no frames at all, to a socket with and without a session, whose client then ends its side. */
async function streams(t: TestContext, protocol: Subprotocol): Promise<void> {
  let goodbyes = 0;
  const header = fc
    .tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 200 }))
    .map(([first, payload]) => {
      const bytes = encodeFrame({ opcode: 0, payload });
      bytes[0] = first;
      return bytes;
    });
  const bytes = fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 400 }), header);
  const property = fc.asyncProperty(
    fc.array(bytes, { minLength: 1, maxLength: 4 }),
    fc.boolean(),
    async (chunks, opened) => {
      await using peer = opened
        ? await openLive(world, protocol, world.sender)
        : await openPeer(server.port, protocol);
      for (const chunk of chunks) peer.write(chunk);
      peer.finish();
      const ending = await endingOf(peer);
      if (ending.goodbye === undefined) return; // it ended while more of a frame was to come, or said so itself
      assertAdvice(ending);
      assert.equal(ending.goodbye.reason, GoodbyeReason.PROTOCOL_ERROR);
      goodbyes += 1;
    },
  );
  await fc.assert(property, { numRuns: STREAM_RUNS });
  t.diagnostic(`${STREAM_RUNS} connections, ${goodbyes} goodbyes`);
}

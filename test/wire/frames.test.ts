// What a session does with frames that break the protocol, on both subprotocols of the WebSocket: it refuses the frame,
// or says goodbye with the reason, advice and close code of frame.proto. Another person's sessions notice nothing.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { GoodbyeReason, ReconnectAdvice } from "@parley/gen/parley/realtime/v1/frame_pb";
import { call, signUp } from "../harness/people.ts";
import { startTestServer, type TestServer } from "../harness/server.ts";
import {
  answerTo,
  assertDelivers,
  assertGoodbye,
  assertLives,
  assertProtocolError,
  assertUnauthenticated,
  type ClientFrameInit,
  caughtUp,
  type FramesWorld,
  frame,
  openFrame,
  openFramesWorld,
  openLive,
  refusalOf,
} from "./frames-world.ts";
import { exchange } from "./raw-call.ts";
import {
  encodeClientFrame,
  handshake,
  opcodes,
  openPeer,
  type RawFrame,
  type Subprotocol,
  subprotocols,
  type WebSocketPeer,
} from "./websocket-peer.ts";

const FRAME_BYTES_MAX = 512 * 1024; // as frame.proto says

let server: TestServer;
let world: FramesWorld;
/** Sessions of somebody else, from before anything went wrong. */
let bystanders: WebSocketPeer[];

before(async () => {
  server = await startTestServer();
  world = await openFramesWorld(server);
  bystanders = await Promise.all(
    subprotocols.map((protocol) => openLive(world, protocol, world.other)),
  );
});

after(async () => {
  for (const bystander of bystanders) await bystander[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function assertOthersUnaffected(): Promise<void> {
  const [binary, json] = bystanders;
  assert.ok(binary && json);
  await assertDelivers(binary, json, world.groupId);
  await assertDelivers(json, binary, world.directId);
}

for (const protocol of subprotocols) {
  describe(protocol, () => {
    describe("before the session is open", () => firstFrames(protocol));
    describe("tokens", () => tokens(protocol));
    describe("positions", () => positions(protocol));
    describe("frames of the session", () => sessionFrames(protocol));
    describe("frames of the WebSocket", () => webSocketFrames(protocol));
    after(assertOthersUnaffected);
  });
}

function firstFrames(protocol: Subprotocol): void {
  const firsts: Record<string, ClientFrameInit> = {
    "an empty frame": {},
    "a heartbeat": { requestId: 1n, frame: { case: "heartbeat", value: {} } },
    "a send": { requestId: 1n, frame: { case: "send", value: {} } },
    "further positions": { frame: { case: "morePositions", value: { positionsComplete: true } } },
    "a new token": { frame: { case: "authenticate", value: { accessToken: "x" } } },
  };
  for (const [name, first] of Object.entries(firsts)) {
    it(`ends when the first frame is ${name}`, async () => {
      await using peer = await openPeer(server.port, protocol);
      peer.send(frame(first));
      await assertProtocolError(peer);
    });
  }

  it("ends when no frame comes for 10 seconds", async () => {
    await using peer = await openPeer(server.port, protocol);
    await assertProtocolError(peer);
  });

  it("carries frames out that come behind `open` at once", async () => {
    await using peer = await openPeer(server.port, protocol);
    peer.send(openFrame(world.sender.accessToken));
    peer.send(frame({ requestId: 2n, frame: { case: "heartbeat", value: {} } }));
    assert.equal((await answerTo(peer, 2n)).frame.case, "heartbeat");
    await caughtUp(peer);
  });
}

function tokens(protocol: Subprotocol): void {
  const unsigned = [{ alg: "none" }, { sub: randomUUID(), did: randomUUID(), exp: 4_000_000_000 }]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  const wrong: Record<string, string> = {
    "no token": "",
    garbage: "garbage",
    "a token of no algorithm": `${unsigned}.`,
    "a token of 8 KiB": "a".repeat(8192),
    "text that is no header": "Bearer \r\n\u0000",
  };
  for (const [name, token] of Object.entries(wrong)) {
    it(`asks to authenticate again for ${name}`, async () => {
      await using peer = await openPeer(server.port, protocol);
      peer.send(openFrame(token));
      await assertUnauthenticated(peer);
    });
  }

  it("asks to authenticate again for a changed token, and one of a device that signed out", async () => {
    const gone = await signUp(server.port, `gone_${protocol.slice(10)}`);
    await using changed = await openPeer(server.port, protocol);
    const [head, body = "", signature = ""] = gone.accessToken.split(".");
    changed.send(openFrame([head, body, signature.split("").reverse().join("")].join(".")));
    await assertUnauthenticated(changed);
    await call(server.port, "parley.account.v1.AccountService/SignOut", {}, gone.accessToken);
    await using late = await openPeer(server.port, protocol);
    late.send(openFrame(gone.accessToken));
    await assertUnauthenticated(late);
  });

  it("keeps a session whose new token is refused", async () => {
    await using peer = await openLive(world, protocol, world.sender);
    for (const [at, accessToken] of ["garbage", world.other.accessToken].entries()) {
      const requestId = 10n + BigInt(at);
      peer.send(frame({ requestId, frame: { case: "authenticate", value: { accessToken } } }));
      const { code } = await refusalOf(peer, requestId);
      assert.ok(code === Code.Unauthenticated || code === Code.PermissionDenied, `${code}`);
    }
    await assertLives(peer);
  });
}

function positions(protocol: Subprotocol): void {
  const many = (count: number) =>
    Array.from({ length: count }, () => ({ conversationId: randomUUID(), seq: 1n }));
  const wrong = {
    "1,001 positions": { positions: many(1001) },
    "a position of no conversation": { positions: [{ conversationId: "general", seq: 1n }] },
    "1,001 messages": { catchUpMessagesMax: 1001 },
  };
  for (const [name, open] of Object.entries(wrong)) {
    it(`ends for ${name} in \`open\`, and names the field`, async () => {
      await using peer = await openPeer(server.port, protocol);
      peer.send(openFrame(world.sender.accessToken, open));
      const { goodbye } = await assertProtocolError(peer);
      assert.match(goodbye?.detail ?? "", /positions|catch_up_messages_max/);
    });
  }

  it("refuses 1,001 further positions, and goes on with fewer", async () => {
    await using peer = await openPeer(server.port, protocol);
    peer.send(openFrame(world.sender.accessToken, { positionsComplete: false }));
    const more = (requestId: bigint, count: number) =>
      peer.send(
        frame({
          requestId,
          frame: {
            case: "morePositions",
            value: { positions: many(count), positionsComplete: true },
          },
        }),
      );
    more(2n, 1001);
    const { code, field } = await refusalOf(peer, 2n);
    assert.deepEqual([code, field], [Code.InvalidArgument, "more_positions.positions"]);
    more(3n, 1000);
    assert.equal((await answerTo(peer, 3n)).frame.case, "done");
    await caughtUp(peer);
    more(4n, 1);
    await assertProtocolError(peer);
  });

  it("takes 1,000 positions, doubles, foreign conversations and places that do not exist yet", async () => {
    const [binary] = bystanders;
    assert.ok(binary);
    await using peer = await openPeer(server.port, protocol);
    const own = (seq: bigint) => ({ conversationId: world.directId, seq });
    const positions = [
      ...many(995),
      own(1n),
      own(0n),
      own(1n << 63n),
      own(1n),
      own((1n << 64n) - 1n),
    ];
    peer.send(openFrame(world.sender.accessToken, { positions }));
    await caughtUp(peer);
    await assertDelivers(binary, peer, world.groupId);
  });

  it("tells what is new also to a device that says it is ahead", async () => {
    const [binary] = bystanders;
    assert.ok(binary);
    await using peer = await openPeer(server.port, protocol);
    const positions = [{ conversationId: world.groupId, seq: 1_000_000n }];
    peer.send(openFrame(world.sender.accessToken, { positions }));
    await caughtUp(peer);
    await assertDelivers(binary, peer, world.groupId);
  });
}

function sessionFrames(protocol: Subprotocol): void {
  const binary = protocol === "parley.v1.proto";

  it("ends for a second `open`", async () => {
    await using peer = await openLive(world, protocol, world.sender);
    peer.send(openFrame(world.sender.accessToken));
    await assertProtocolError(peer);
  });

  it("refuses an arm that it does not know, and one that is missing", async () => {
    await using peer = await openLive(world, protocol, world.sender);
    // request_id 9, and field 15 with two bytes.
    const unknown = binary
      ? { opcode: opcodes.binary, payload: Buffer.from([0x08, 9, 0x7a, 2, 0, 0]) }
      : { opcode: opcodes.text, payload: '{"requestId":"9","juggle":{"balls":3}}' };
    peer.writeFrame(unknown);
    assert.equal((await refusalOf(peer, 9n)).code, Code.Unimplemented);
    peer.send(frame({ requestId: 10n }));
    assert.equal((await refusalOf(peer, 10n)).code, Code.Unimplemented);
    await assertLives(peer);
  });

  it("refuses what breaks a rule, names the field, and goes on", async () => {
    await using peer = await openLive(world, protocol, world.sender);
    const { groupId } = world;
    const payload = (bytes: number) =>
      ({ case: "payload", value: Buffer.alloc(bytes, 1) }) as const;
    const send = { conversationId: groupId, clientMessageId: randomUUID(), body: payload(1) };
    const cases: [NonNullable<ClientFrameInit["frame"]>, number, string][] = [
      [{ case: "send", value: { ...send, conversationId: "x" } }, 3, "send.conversation_id"],
      [{ case: "send", value: { ...send, clientMessageId: "" } }, 3, "send.client_message_id"],
      [{ case: "send", value: { ...send, body: payload(262_145) } }, 3, "send.payload"],
      [{ case: "send", value: { ...send, body: { case: undefined } } }, 3, "send.body"],
      [{ case: "send", value: { ...send, conversationId: randomUUID() } }, 5, ""],
      [{ case: "receipt", value: { conversationId: "" } }, 3, "receipt.conversation_id"],
      [{ case: "typing", value: { conversationId: "" } }, 3, "typing.conversation_id"],
      [{ case: "watchPresence", value: { userIds: ["x"] } }, 3, "watch_presence.user_ids[0]"],
      [{ case: "authenticate", value: {} }, 3, "authenticate.access_token"],
    ];
    for (const [at, [init, code, field]] of cases.entries()) {
      const requestId = BigInt(at) + 20n;
      peer.send(frame({ requestId, frame: init }));
      const refused = await refusalOf(peer, requestId);
      assert.deepEqual([refused.code, refused.field], [code, field], refused.description);
    }
    const tooLarge = { ...send, body: payload(64 * 1024 + 1) };
    peer.send(frame({ requestId: 50n, frame: { case: "send", value: tooLarge } }));
    assert.equal((await refusalOf(peer, 50n)).reason, "PAYLOAD_TOO_LARGE");
    await assertLives(peer);
  });

  const whole = encodeClientFrame(
    protocol,
    frame({ frame: { case: "typing", value: { conversationId: randomUUID() } } }),
  );
  const unreadable: Record<string, RawFrame> = {
    "half a frame": { ...whole, payload: Buffer.from(whole.payload).subarray(0, -2) },
    "a frame of the other kind": { ...whole, opcode: binary ? opcodes.text : opcodes.binary },
    ...(binary
      ? {
          "a number that does not end": { opcode: opcodes.binary, payload: Buffer.alloc(11, 0x88) },
          "a group in a group in a group": {
            opcode: opcodes.binary,
            payload: Buffer.alloc(100_000, 0x7b),
          },
          "a string that is no UTF-8": {
            opcode: opcodes.binary,
            payload: Buffer.from([0x32, 4, 0x0a, 2, 0xff, 0xfe]),
          },
        }
      : {
          "an empty text": { opcode: opcodes.text, payload: "" },
          null: { opcode: opcodes.text, payload: "null" },
          "a list": { opcode: opcodes.text, payload: "[]" },
          "fields of another type": { opcode: opcodes.text, payload: '{"requestId":{}}' },
          "two arms": { opcode: opcodes.text, payload: '{"heartbeat":{},"typing":{}}' },
          "brackets without end": { opcode: opcodes.text, payload: "[".repeat(100_000) },
        }),
  };
  for (const [name, raw] of Object.entries(unreadable)) {
    it(`ends for ${name}`, async () => {
      await using peer = await openLive(world, protocol, world.sender);
      peer.writeFrame(raw);
      await assertProtocolError(peer);
    });
  }

  it("takes a frame of 512 KiB, and ends for one byte more", async () => {
    await using peer = await openLive(world, protocol, world.sender);
    peer.writeFrame(paddedFrame(protocol, FRAME_BYTES_MAX));
    assert.equal((await refusalOf(peer, 9n)).code, Code.Unimplemented);
    peer.writeFrame(paddedFrame(protocol, FRAME_BYTES_MAX + 1));
    await assertProtocolError(peer);
  });
}

/** A frame of exactly so many bytes, with request_id 9 and an arm that nobody knows. */
function paddedFrame(protocol: Subprotocol, bytes: number): RawFrame {
  if (protocol === "parley.v1.json") {
    const json = '{"requestId":"9","juggle":""}';
    const padding = "x".repeat(bytes - json.length);
    return { opcode: opcodes.text, payload: json.replace('""', `"${padding}"`) };
  }
  const head = Buffer.from([0x08, 9, 0x7a, 0x80, 0x80, 0x20]); // the length has three bytes
  const length = bytes - head.length;
  head.set([(length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14], 3);
  return { opcode: opcodes.binary, payload: Buffer.concat([head, Buffer.alloc(length)]) };
}

function webSocketFrames(protocol: Subprotocol): void {
  const good = encodeClientFrame(
    protocol,
    frame({ requestId: 9n, frame: { case: "heartbeat", value: {} } }),
  );
  const { opcode } = good;
  const wrong: Record<string, readonly RawFrame[]> = {
    "a frame without a mask": [{ ...good, masked: false }],
    "reserved bits": [{ ...good, reserved: 4 }],
    "an opcode that nobody knows": [{ opcode: 3, payload: "" }],
    "a control opcode that nobody knows": [{ opcode: 11, payload: "" }],
    "a ping in pieces": [{ opcode: opcodes.ping, payload: "", fin: false }],
    "a ping of 126 bytes": [{ opcode: opcodes.ping, payload: "x".repeat(126) }],
    "a close frame of one byte": [{ opcode: opcodes.close, payload: "x" }],
    "a close code that must not be sent": [
      { opcode: opcodes.close, payload: Buffer.from([0x03, 0xed]) },
    ],
    "a continuation of nothing": [{ opcode: opcodes.continuation, payload: "x" }],
    "a message within a message": [{ ...good, fin: false }, good],
    "a length of 1 GiB": [{ opcode, payload: "", length: 2 ** 30 }],
    "a length of 2^60": [{ opcode, payload: "", length: 2 ** 60 }],
    "pieces above the limit": Array.from({ length: 9 }, (_, at) => ({
      opcode: at === 0 ? opcode : opcodes.continuation,
      payload: Buffer.alloc(64 * 1024, 0x20),
      fin: false,
    })),
    ...(protocol === "parley.v1.json"
      ? { "text that is no UTF-8": [{ opcode, payload: Buffer.from([0x22, 0xff, 0x22]) }] }
      : {}),
  };
  for (const [name, frames] of Object.entries(wrong)) {
    for (const opened of [true, false]) {
      it(`ends for ${name}, ${opened ? "in a session" : "before there is one"}`, async () => {
        await using peer = opened
          ? await openLive(world, protocol, world.sender)
          : await openPeer(server.port, protocol);
        for (const raw of frames) peer.writeFrame(raw);
        await assertProtocolError(peer);
      });
    }
  }

  it("takes a message in pieces, with a ping between them", async () => {
    await using peer = await openLive(world, protocol, world.sender);
    const bytes = Buffer.from(good.payload);
    peer.writeFrame({ opcode, payload: bytes.subarray(0, 1), fin: false });
    peer.writeFrame({ opcode: opcodes.ping, payload: "there?" });
    peer.writeFrame({ opcode: opcodes.continuation, payload: "", fin: false });
    peer.writeFrame({ opcode: opcodes.continuation, payload: bytes.subarray(1) });
    assert.equal((await answerTo(peer, 9n)).frame.case, "heartbeat");
  });

  it("lets a client go that says so, and one that just goes", async () => {
    await using polite = await openLive(world, protocol, world.sender);
    polite.writeFrame({ opcode: opcodes.close, payload: Buffer.from([0x03, 0xe8]) });
    assert.equal((await polite.ended).code, 1000);
    await using gone = await openLive(world, protocol, world.sender);
    gone.finish();
    await gone.ended;
  });
}

describe("handshakes", () => {
  const bad: Record<string, Record<string, string | undefined>> = {
    "no subprotocol": { "sec-websocket-protocol": undefined },
    "an unknown subprotocol": { "sec-websocket-protocol": "graphql-ws" },
    "an empty subprotocol": { "sec-websocket-protocol": "" },
    "another version": { "sec-websocket-version": "12" },
    "no version": { "sec-websocket-version": undefined },
    "no key": { "sec-websocket-key": undefined },
    "a short key": { "sec-websocket-key": "short" },
    "another page": { origin: "https://elsewhere.example" },
    "a page of no origin": { origin: "null" },
    "an origin that is none": { origin: "][" },
    "another path": { request: "GET /v1/sockets HTTP/1.1" },
    "another method": { request: "POST /v1/socket HTTP/1.1" },
    "another upgrade": { upgrade: "h2c" },
    "a host that is none and an origin": { host: "][", origin: "https://elsewhere.example" },
    "a header of 64 KiB": { "x-long": "x".repeat(64 * 1024) },
  };
  for (const [name, changes] of Object.entries(bad)) {
    it(`refuses ${name}`, async () => {
      const answer = await exchange(server.port, handshake(server.port, { ...changes }));
      assert.match(answer, /^HTTP\/1\.1 4\d\d /);
    });
  }

  it("takes a page of its own, and the first subprotocol that it knows", async () => {
    const headers = {
      origin: server.url,
      "sec-websocket-protocol": "graphql-ws, parley.v1.json, parley.v1.proto",
    };
    // An unmasked frame behind the handshake ends the connection again.
    const request = Buffer.concat([
      Buffer.from(handshake(server.port, headers)),
      Buffer.from([0x81, 0]),
    ]);
    const answer = await exchange(server.port, request);
    assert.match(answer, /^HTTP\/1\.1 101 /);
    assert.match(answer, /sec-websocket-protocol: parley\.v1\.json/i);
  });

  after(assertOthersUnaffected);
});

it("ends a session that floods, with the advice to come back later", async () => {
  await using limited = await startTestServer({
    environment: { PARLEY_GATEWAY_SENDS_PER_SECOND: "20" },
  });
  const person = await signUp(limited.port, "flooder");
  await using peer = await openLive({ server: limited }, "parley.v1.proto", person);
  const heartbeat = frame({ frame: { case: "heartbeat", value: {} } });
  for (let at = 0; at < 5_000; at += 1) peer.send(heartbeat);
  const { goodbye } = await assertGoodbye(
    peer,
    GoodbyeReason.RATE_LIMITED,
    ReconnectAdvice.RECONNECT,
  );
  assert.ok(goodbye?.reconnectDelay);
});

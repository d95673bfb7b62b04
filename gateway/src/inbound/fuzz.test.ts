/** Whatever comes in, the gateway answers typed or closes, and goes on serving everybody else. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { ClientFrameSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import fc from "fast-check";
import { startTestGateway, type TestGateway, type TestPerson } from "../testing/test-gateway.ts";
import { TestSocket } from "../testing/test-socket.ts";

let test: TestGateway;
let person: TestPerson;

before(async () => {
  const connections = { connectionsMax: 100_000, connectionsPerAddressMax: 100_000 };
  test = await startTestGateway({ config: { connections } });
  person = await test.person();
});

after(() => test[Symbol.asyncDispose]());

/** Sends pieces on a fresh connection, ends it, and waits until it is closed. */
async function exchange(pieces: readonly Uint8Array[]): Promise<Buffer> {
  const socket = connect(test.port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((next) => setImmediate(next));
  }
  socket.end();
  // What is left open waits for a timeout of many seconds, which is not what this test is about.
  await Promise.race([once(socket, "close"), new Promise((resolve) => setTimeout(resolve, 100))]);
  socket.destroy();
  return Buffer.concat(chunks);
}

/** Somebody else's session still works. */
async function stillServes(): Promise<void> {
  await using socket = await TestSocket.open(test.port, { accessToken: person.token });
  const answer = await socket.answer(socket.send({ case: "heartbeat", value: {} }));
  assert.equal(answer.case, "heartbeat");
  assert.equal((await fetch(`${test.url}/healthz`)).status, 200);
}

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const HANDSHAKE = Buffer.from(
  "GET /v1/socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n" +
    "Sec-WebSocket-Protocol: parley.v1.proto\r\n\r\n",
);

const bytes = fc.uint8Array({ maxLength: 300 });
const pieces = fc.array(bytes, { minLength: 1, maxLength: 5 });

/** A client's WebSocket frame with any header: lengths that lie, reserved bits, fragments, control frames. */
const websocketFrame = fc
  .record({
    first: fc.oneof(fc.constant(0x82), fc.nat(255)),
    masked: fc.boolean(),
    payload: bytes,
    lie: fc.option(fc.nat(0xffff), { freq: 10 }),
  })
  .map(({ first, masked, payload, lie }) => {
    const length = lie ?? payload.length;
    const header = Buffer.from([first, (masked ? 0x80 : 0) | 126, length >> 8, length & 0xff]);
    return Buffer.concat([header, masked ? Buffer.alloc(4) : Buffer.alloc(0), payload]);
  });

/** A frame of the contract with some of its bytes changed. */
const damagedFrame = fc
  .record({ at: fc.nat(), to: fc.nat(255), cut: fc.nat(40) })
  .map(({ at, to, cut }) => {
    const open = { accessToken: person.token, positionsComplete: true };
    const frame = create(ClientFrameSchema, {
      requestId: 1n,
      frame: { case: "open", value: open },
    });
    const encoded = Buffer.from(toBinary(ClientFrameSchema, frame));
    encoded[at % encoded.length] = to;
    return encoded.subarray(0, encoded.length - cut);
  });

describe("malformed input", () => {
  it("as first bytes of a connection", { timeout: 120_000 }, async () => {
    const http1 = fc
      .tuple(
        fc.constantFrom("GET", "POST", "PRI", "OPTIONS", "X"),
        fc.string({ maxLength: 40 }),
        fc.string({ maxLength: 200 }),
      )
      .map(([method, path, rest]) => [
        Buffer.from(`${method} /${path} HTTP/1.1\r\n${rest}\r\n\r\n`),
      ]);
    const http2 = pieces.map((rest) => [PREFACE, SETTINGS, ...rest]);
    await fc.assert(
      fc.asyncProperty(fc.oneof(pieces, http1, http2), async (input) => {
        await exchange(input);
      }),
      { numRuns: 150 },
    );
    await stillServes();
  });

  it("as WebSocket frames", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(websocketFrame, { minLength: 1, maxLength: 6 }), async (frames) => {
        const answer = await exchange([HANDSHAKE, ...frames]);
        assert.match(answer.toString("latin1"), /^HTTP\/1.1 101 /);
      }),
      { numRuns: 150 },
    );
    await stillServes();
  });

  it("as frames of the contract", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(damagedFrame, bytes), async (encoded) => {
        await using socket = await TestSocket.connect(test.port);
        socket.socket.send(encoded);
        await socket.until(() => socket.frames.length > 0);
        const [first] = socket.frames;
        assert.ok(first?.frame.case === "goodbye" || first?.frame.case === "opened");
      }),
      { numRuns: 100 },
    );
    await stillServes();
  });

  it("as JSON, before and after `open`", { timeout: 120_000 }, async () => {
    const names = fc.constantFrom(
      "open",
      "send",
      "receipt",
      "typing",
      "watchPresence",
      "requestId",
      "x",
    );
    const frame = fc.oneof(
      fc.json({ maxDepth: 3 }),
      fc.dictionary(names, fc.jsonValue({ maxDepth: 3 })).map((value) => JSON.stringify(value)),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(frame, fc.boolean(), async (text, opened) => {
        const options = { protocol: "parley.v1.json" };
        await using socket = opened
          ? await TestSocket.open(test.port, { accessToken: person.token }, options)
          : await TestSocket.connect(test.port, options);
        const known = socket.frames.length;
        socket.socket.send(text);
        // Answered, ended, or a frame that is not answered: then the next one is.
        if (opened) socket.send({ case: "heartbeat", value: {} }, 4711n);
        await socket.until(() => socket.frames.length > known);
      }),
      { numRuns: 100 },
    );
    await stillServes();
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, it } from "node:test";
import { GoodbyeReason } from "@parley/gen/parley/realtime/v1/frame_pb";
import { createManualClock } from "@parley/platform/clock";
import { WebSocket } from "ws";
import { CLOSING_MS_MAX, OPEN_MS_MAX } from "../session/limits.ts";
import { startTestGateway, type TestGateway } from "../testing/test-gateway.ts";
import { TestSocket } from "../testing/test-socket.ts";

const PROTOCOL_ERROR = 4500 + GoodbyeReason.PROTOCOL_ERROR;

/** A WebSocket handshake by hand, for bytes that no library would send. */
async function rawSocket({ port }: TestGateway, path = "/v1/socket"): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write(
    [
      `GET ${path} HTTP/1.1`,
      "Host: x",
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Protocol: parley.v1.proto",
      "\r\n",
    ].join("\r\n"),
  );
  const [head] = (await once(socket, "data")) as [Buffer];
  assert.match(head.toString(), /^HTTP\/1.1 101 /);
  return socket;
}

/** Everything that comes until the end. */
async function rest(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  if (!socket.closed) await once(socket, "close");
  return Buffer.concat(chunks);
}

describe("a WebSocket of a client that breaks the protocol", () => {
  const cases: [string, string, (socket: TestSocket) => void][] = [
    ["another first frame", "parley.v1.proto", (s) => s.send({ case: "heartbeat", value: {} })],
    ["bytes that are no frame", "parley.v1.proto", (s) => s.socket.send(Buffer.from([0xff, 0xff]))],
    ["text on the binary road", "parley.v1.proto", (s) => s.socket.send("{}")],
    ["binary on the text road", "parley.v1.json", (s) => s.socket.send(Buffer.from("{}"))],
    ["text that is no JSON", "parley.v1.json", (s) => s.socket.send("{open")],
    ["JSON of another shape", "parley.v1.json", (s) => s.socket.send('{"open":7}')],
    ["JSON that is no object", "parley.v1.json", (s) => s.socket.send("[[[[]]]]")],
    ["a message above 512 KiB", "parley.v1.proto", (s) => s.socket.send(Buffer.alloc(600 * 1024))],
  ];
  for (const [what, protocol, act] of cases) {
    it(`is told about ${what}, and closed for good`, async () => {
      await using test = await startTestGateway();
      await using socket = await TestSocket.connect(test.port, { protocol });
      act(socket);
      const goodbye = await socket.next("goodbye");
      assert.equal(goodbye.reason, GoodbyeReason.PROTOCOL_ERROR);
      assert.notEqual(goodbye.detail, "");
      assert.equal(await socket.closed(), PROTOCOL_ERROR);
    });
  }

  it("is told about a second `open` and about late positions", async () => {
    await using test = await startTestGateway();
    const { token: accessToken } = await test.person();
    for (const frame of [
      { case: "open", value: { accessToken } },
      { case: "morePositions", value: { positionsComplete: true } },
    ] as const) {
      await using socket = await TestSocket.open(test.port, { accessToken });
      socket.send(frame);
      assert.equal((await socket.next("goodbye")).reason, GoodbyeReason.PROTOCOL_ERROR);
      assert.equal(await socket.closed(), PROTOCOL_ERROR);
    }
  });

  for (const [what, bytes] of [
    ["an unmasked frame", [0x82, 0x01, 0x00]],
    ["a reserved opcode", [0x83, 0x80, 0, 0, 0, 0]],
    ["reserved bits", [0xf2, 0x80, 0, 0, 0, 0]],
    ["a length beyond the limit", [0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0]],
    ["a continuation of nothing", [0x80, 0x80, 0, 0, 0, 0]],
    ["a ping that is too long", [0x89, 0xfe, 0x01, 0x00]],
  ] as const) {
    it(`gets a goodbye before the close frame for ${what}`, async () => {
      await using test = await startTestGateway();
      const socket = await rawSocket(test);
      socket.write(Buffer.from(bytes));
      const answer = await rest(socket);
      assert.ok(answer.length > 4 && answer[0] === 0x82, "a binary frame comes first");
      const code = Buffer.from([PROTOCOL_ERROR >> 8, PROTOCOL_ERROR & 0xff]);
      assert.ok(answer.includes(code), "then the close frame");
    });
  }

  it("is closed when it sends no `open` in time", async () => {
    const clock = createManualClock(Date.now());
    await using test = await startTestGateway({ clock });
    await using socket = await TestSocket.connect(test.port);
    for (let seconds = 0; seconds < 11; seconds++) clock.advance(1000);
    assert.equal((await socket.next("goodbye")).reason, GoodbyeReason.PROTOCOL_ERROR);
    assert.equal(await socket.closed(), PROTOCOL_ERROR);
  });

  it("is cut off when it does not answer its goodbye", { timeout: 10_000 }, async () => {
    const clock = createManualClock(Date.now());
    await using test = await startTestGateway({ clock });
    const socket = await rawSocket(test);
    socket.write(Buffer.from([0x82, 0x80, 0, 0, 0, 0]));
    await once(socket, "data");
    const closed = once(socket, "close");
    clock.advance(CLOSING_MS_MAX + 1000);
    await closed;
  });

  it("is told to come back when its session cannot be opened in time", {
    timeout: 5000,
  }, async () => {
    const clock = createManualClock(Date.now());
    await using test = await startTestGateway({ clock });
    const { token: accessToken } = await test.person({ expireTimeMs: clock.nowMs() + 3_600_000 });
    const held = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    test.services.hold = (rpc) => {
      if (rpc !== "CheckDevices") return undefined;
      asked.resolve();
      return held.promise;
    };
    await using socket = await TestSocket.connect(test.port);
    socket.send({ case: "open", value: { accessToken, positionsComplete: true } });
    await asked.promise;
    clock.advance(OPEN_MS_MAX + 1000);
    assert.equal((await socket.next("goodbye")).reason, GoodbyeReason.INTERNAL);
    held.resolve();
    await socket.closed();
    while (test.gateway.sessions.size > 0) await new Promise((next) => setImmediate(next));
  });

  it("may send frames right behind `open`, in the same piece", async () => {
    await using test = await startTestGateway();
    const { token: accessToken } = await test.person();
    await using socket = await TestSocket.connect(test.port);
    socket.send({ case: "open", value: { accessToken, positionsComplete: false } });
    for (let count = 0; count < 20; count++) socket.send({ case: "heartbeat", value: {} });
    socket.send({ case: "morePositions", value: { positionsComplete: true } });
    await socket.next("caughtUp");
    assert.equal(socket.frames[0]?.frame.case, "opened");
    assert.equal(socket.frames.filter(({ frame }) => frame.case === "heartbeat").length, 20);
  });

  it("may leave while its session is being opened", async () => {
    await using test = await startTestGateway();
    const { token: accessToken } = await test.person();
    const held = Promise.withResolvers<void>();
    test.services.hold = (rpc) => (rpc === "CheckDevices" ? held.promise : undefined);
    const socket = await TestSocket.connect(test.port);
    socket.send({ case: "open", value: { accessToken, positionsComplete: true } });
    while ((test.services.calls.get("CheckDevices") ?? 0) === 0) {
      await new Promise((next) => setImmediate(next));
    }
    socket.socket.terminate();
    await socket.closed();
    await new Promise((resolve) => setTimeout(resolve, 20));
    held.resolve();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(test.gateway.sessions.size, 0);
    assert.equal(test.services.registry.sessions.size, 0);
  });
});

describe("the handshake", () => {
  const refused = async (test: TestGateway, url: string, protocols: string[], origin?: string) => {
    const socket = new WebSocket(`ws://127.0.0.1:${test.port}${url}`, protocols, { origin });
    const [, response] = await once(socket, "unexpected-response");
    socket.on("error", () => undefined);
    socket.terminate();
    return (response as { statusCode: number }).statusCode;
  };

  it("needs the path, a subprotocol, and a page that may", async () => {
    await using test = await startTestGateway({
      config: { allowedOrigins: ["https://chat.example.org"] },
    });
    const protocols = ["parley.v1.proto"];
    assert.equal(await refused(test, "/v2/socket", protocols), 404);
    assert.equal(await refused(test, "/v1/socket", ["chat"]), 400);
    assert.equal(await refused(test, "/v1/socket", []), 400);
    assert.equal(await refused(test, "/v1/socket", protocols, "https://evil.example"), 403);
    for (const origin of ["https://chat.example.org", `http://127.0.0.1:${test.port}`]) {
      await using socket = await TestSocket.connect(test.port, { origin });
      assert.equal(socket.socket.protocol, "parley.v1.proto");
    }
  });

  it("chooses the first subprotocol that it speaks", async () => {
    await using test = await startTestGateway();
    const socket = new WebSocket(`ws://127.0.0.1:${test.port}/v1/socket`, [
      "chat",
      "parley.v1.json",
      "parley.v1.proto",
    ]);
    await once(socket, "open");
    assert.equal(socket.protocol, "parley.v1.json");
    socket.terminate();
  });
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { OpsService } from "@parley/gen/parley/ops/v1/ops_service_pb";
import { WebSocket } from "ws";
import { rpcClient } from "../testing/rpc-clients.ts";
import { startTestGateway, type TestGateway } from "../testing/test-gateway.ts";

function open({ port }: TestGateway): Socket {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  return socket;
}

async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "close");
  return Buffer.concat(chunks).toString("latin1");
}

const REQUEST = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

describe("the port", () => {
  it("takes a request that comes byte by byte", async () => {
    await using test = await startTestGateway();
    const socket = open(test);
    const answer = readAll(socket);
    for (const byte of REQUEST) {
      socket.write(byte);
      await new Promise((next) => setImmediate(next));
    }
    assert.match(await answer, /^HTTP\/1.1 200 OK/);
  });

  it("takes an HTTP/2 preface that comes in pieces", async () => {
    await using test = await startTestGateway();
    const socket = open(test);
    const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0", "latin1");
    const settings = once(socket, "data") as Promise<[Buffer]>;
    for (const byte of preface) {
      socket.write(Buffer.from([byte]));
      await new Promise((next) => setImmediate(next));
    }
    assert.equal((await settings)[0][3], 4, "a SETTINGS frame");
    socket.destroy();
  });

  it("serves gRPC, Connect and gRPC-Web side by side", async () => {
    await using test = await startTestGateway();
    const { url } = test;
    const calls = Array.from({ length: 20 }, (_, index) =>
      rpcClient(OpsService, { url, protocol: index % 2 === 0 ? "grpc" : "connect" }).getServerInfo(
        {},
      ),
    );
    for (const info of await Promise.all(calls)) assert.equal(info.version, "0.1.0");
    const web = await fetch(`${url}/parley.ops.v1.OpsService/GetServerInfo`, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto" },
      body: new Uint8Array(5),
    });
    assert.equal(web.headers.get("content-type"), "application/grpc-web+proto");
  });

  it("refuses connections above the limit of one address, and frees them again", async () => {
    const connections = { connectionsMax: 100, connectionsPerAddressMax: 3 };
    await using test = await startTestGateway({ config: { connections } });
    const held = [open(test), open(test), open(test)];
    await Promise.all(held.map((socket) => once(socket, "connect")));
    assert.match(await readAll(open(test)), /^HTTP\/1.1 503 /);
    held[0]?.destroy();
    for (;;) {
      const socket = open(test);
      socket.write(REQUEST);
      if (/^HTTP\/1.1 200 /.test(await readAll(socket))) break;
    }
    for (const socket of held) socket.destroy();
  });

  it("refuses headers that are too large", async () => {
    await using test = await startTestGateway();
    const socket = open(test);
    socket.write(`GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`);
    assert.match(await readAll(socket), /^HTTP\/1.1 431 /);
    const session = connectHttp2(test.url);
    session.on("error", () => undefined);
    const stream = session.request({ ":path": "/healthz", x: "y".repeat(40_000) });
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    assert.equal(headers[":status"], 431);
    session.destroy();
  });

  it("refuses messages that are too large", async () => {
    await using test = await startTestGateway();
    const answer = await fetch(`${test.url}/parley.ops.v1.OpsService/GetServerInfo`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: `{"x":"${"y".repeat(3_000_000)}"}`,
    });
    assert.equal(answer.status, 429);
    assert.match(await answer.text(), /resource_exhausted/);
  });

  it("cuts off who says nothing, and who never finishes a header", {
    timeout: 40_000,
  }, async () => {
    await using test = await startTestGateway();
    const silent = open(test);
    const slow = open(test);
    slow.write("GET /healthz HTTP/1.1\r\nHost: x\r\n");
    const dripping = setInterval(() => slow.write("X: y\r\n"), 500);
    const startMs = performance.now();
    await Promise.all([readAll(silent), readAll(slow)]);
    clearInterval(dripping);
    assert.ok(performance.now() - startMs < 20_000);
  });

  it("speaks TLS with all protocols", async () => {
    const directory = await mkdtemp(join(tmpdir(), "parley-gateway-"));
    try {
      const [certificateFile, keyFile] = [join(directory, "c.pem"), join(directory, "k.pem")];
      const subject = ["-subj", "/CN=localhost", "-days", "2", "-nodes"];
      const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
      const files = ["-keyout", keyFile, "-out", certificateFile];
      execFileSync("openssl", ["req", "-x509", ...key, ...files, ...subject], { stdio: "ignore" });
      await using test = await startTestGateway({ config: { tls: { certificateFile, keyFile } } });
      const insecure = { rejectUnauthorized: false };
      const url = `https://127.0.0.1:${test.port}`;

      const request = httpsRequest(`${url}/healthz`, insecure).end();
      const [response] = (await once(request, "response")) as [
        { statusCode: number; resume(): void },
      ];
      response.resume();
      assert.equal(response.statusCode, 200);

      const session = connectHttp2(url, insecure);
      const stream = session.request({ ":path": "/healthz" });
      const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
      assert.equal(headers[":status"], 200);
      session.close();

      const socket = new WebSocket(
        `wss://127.0.0.1:${test.port}/v1/socket`,
        ["parley.v1.proto"],
        insecure,
      );
      await once(socket, "open");
      socket.terminate();
      request.destroy();
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

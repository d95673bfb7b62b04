/** A WebSocket client (RFC 6455) that can break every rule: each bit of a frame is the test's, and nothing is checked. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { fromBinary, fromJsonString, toBinary, toJsonString } from "@bufbuild/protobuf";
import {
  type ClientFrame,
  ClientFrameSchema,
  type Goodbye,
  type ServerFrame,
  ServerFrameSchema,
} from "@parley/gen/parley/realtime/v1/frame_pb";

export const subprotocols = ["parley.v1.proto", "parley.v1.json"] as const;
export type Subprotocol = (typeof subprotocols)[number];

export const opcodes = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

const ANSWER_MS_MAX = 10_000;

export type RawFrame = {
  readonly opcode: number;
  readonly payload: Uint8Array | string;
  readonly fin?: boolean;
  /** Three bits that no extension here uses. */
  readonly reserved?: number;
  readonly masked?: boolean;
  /** What the header says, if it lies. */
  readonly length?: number;
};

/** How a connection ended. */
export type Ending = {
  /** The code of the server's close frame; undefined if the connection ended without one. */
  readonly code: number | undefined;
  readonly reason: string;
  /** The session's goodbye, if one came. */
  readonly goodbye: Goodbye | undefined;
};

export type WebSocketPeer = AsyncDisposable & {
  readonly protocol: Subprotocol;
  /** Every session frame that came, in order. */
  readonly frames: readonly ServerFrame[];
  write(bytes: Uint8Array): void;
  writeFrame(frame: RawFrame): void;
  /** Sends a frame of the session in the form of the subprotocol. */
  send(frame: ClientFrame): void;
  /** Ends the client's side of the connection; what the server still sends is read. */
  finish(): void;
  /** The next frame that matches, among those that came already and those to come. */
  next(matches: (frame: ServerFrame) => boolean, what: string): Promise<ServerFrame>;
  /** Resolves when the server has ended the connection. */
  readonly ended: Promise<Ending>;
};

/** The bytes of one frame. */
export function encodeFrame(frame: RawFrame): Buffer {
  const { fin = true, reserved = 0, masked = true } = frame;
  const payload = Buffer.from(frame.payload as string);
  const length = frame.length ?? payload.length;
  const head = Buffer.alloc(length < 126 ? 2 : length < 0x10000 ? 4 : 10);
  head[0] = (fin ? 0x80 : 0) | (reserved << 4) | frame.opcode;
  const mask = masked ? 0x80 : 0;
  if (head.length === 2) head[1] = mask | length;
  else if (head.length === 4) {
    head[1] = mask | 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = mask | 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  // A mask of zeros masks nothing, and is a mask.
  return Buffer.concat(masked ? [head, Buffer.alloc(4), payload] : [head, payload]);
}

export function encodeClientFrame(protocol: Subprotocol, frame: ClientFrame): RawFrame {
  return protocol === "parley.v1.proto"
    ? { opcode: opcodes.binary, payload: toBinary(ClientFrameSchema, frame) }
    : { opcode: opcodes.text, payload: toJsonString(ClientFrameSchema, frame) };
}

/** The request of a handshake, with headers of the test's own; `undefined` leaves one out. */
export function handshake(port: number, changes: Record<string, string | undefined> = {}): string {
  const { request = "GET /v1/socket HTTP/1.1", ...headers } = {
    host: `127.0.0.1:${port}`,
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-key": randomBytes(16).toString("base64"),
    "sec-websocket-version": "13",
    "sec-websocket-protocol": "parley.v1.proto",
    ...changes,
  };
  const lines = Object.entries(headers)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}`);
  return [request, ...lines, "", ""].join("\r\n");
}

/** Connects and shakes hands. */
export async function openPeer(port: number, protocol: Subprotocol): Promise<WebSocketPeer> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  socket.on("error", () => {}); // `close` follows
  socket.write(handshake(port, { "sec-websocket-protocol": protocol }));
  let head: Buffer = Buffer.alloc(0);
  while (!head.includes("\r\n\r\n")) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    head = Buffer.concat([head, chunk]);
  }
  const status = head.subarray(0, head.indexOf("\r\n")).toString();
  if (!status.includes(" 101 ")) throw new Error(`the server answered ${status}`);
  return createPeer(socket, protocol, head.subarray(head.indexOf("\r\n\r\n") + 4));
}

function createPeer(socket: Socket, protocol: Subprotocol, first: Buffer): WebSocketPeer {
  const frames: ServerFrame[] = [];
  const watchers = new Set<() => void>();
  let buffer = Buffer.alloc(0);
  let close: Pick<Ending, "code" | "reason"> = { code: undefined, reason: "" };
  let over = false;
  const ended = Promise.withResolvers<Ending>();

  const onMessage = (opcode: number, payload: Buffer) => {
    if (opcode === opcodes.close) {
      const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      close = { code, reason: payload.subarray(2).toString() };
    } else if (opcode === opcodes.binary) frames.push(fromBinary(ServerFrameSchema, payload));
    else if (opcode === opcodes.ping) socket.write(encodeFrame({ opcode: opcodes.pong, payload }));
    else if (opcode === opcodes.text)
      frames.push(fromJsonString(ServerFrameSchema, payload.toString()));
  };
  const onData = (chunk: Buffer) => {
    buffer = Buffer.concat([buffer, chunk]);
    buffer = buffer.subarray(readServerFrames(buffer, onMessage));
    for (const watch of watchers) watch();
    // The client's part of the closing handshake; without it the server would wait for it.
    if (close.code !== undefined) socket.end();
  };
  socket.on("data", onData);
  socket.on("close", () => {
    over = true;
    const last = frames.at(-1)?.frame;
    ended.resolve({ ...close, goodbye: last?.case === "goodbye" ? last.value : undefined });
    for (const watch of watchers) watch();
  });
  if (first.length > 0) onData(first);

  return {
    protocol,
    frames,
    ended: ended.promise,
    write: (bytes) => void socket.write(bytes),
    writeFrame: (frame) => void socket.write(encodeFrame(frame)),
    send: (frame) => void socket.write(encodeFrame(encodeClientFrame(protocol, frame))),
    finish: () => void socket.end(),
    next(matches, what) {
      const { promise, resolve, reject } = Promise.withResolvers<ServerFrame>();
      let seen = 0;
      const timer = setTimeout(() => reject(new Error(`no ${what} came`)), ANSWER_MS_MAX);
      const look = () => {
        while (seen < frames.length) {
          const frame = frames[seen++];
          if (frame && matches(frame)) resolve(frame);
        }
        if (over) reject(new Error(`the connection ended with ${close.code} before ${what} came`));
      };
      watchers.add(look);
      look();
      return promise.finally(() => {
        clearTimeout(timer);
        watchers.delete(look);
      });
    },
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await ended.promise;
    },
  };
}

/** Hands every whole frame on and returns how many bytes were used. */
function readServerFrames(
  buffer: Buffer,
  onMessage: (opcode: number, payload: Buffer) => void,
): number {
  let at = 0;
  while (buffer.length - at >= 2) {
    let length = (buffer[at + 1] ?? 0) & 0x7f;
    let start = at + 2;
    if (length === 126) {
      if (buffer.length - at < 4) break;
      length = buffer.readUInt16BE(at + 2);
      start = at + 4;
    } else if (length === 127) {
      if (buffer.length - at < 10) break;
      length = Number(buffer.readBigUInt64BE(at + 2));
      start = at + 10;
    }
    if (buffer.length - start < length) break;
    onMessage((buffer[at] ?? 0) & 0x0f, buffer.subarray(start, start + length));
    at = start + length;
  }
  return at;
}

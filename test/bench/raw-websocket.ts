/**
 * A WebSocket client (RFC 6455) that costs as little as possible, so that the load generator leaves the machine
 * to the server: one pass over what the socket read, no copies, no per-frame objects.
 *
 * Binary frames of a server only: unmasked, unfragmented. Anything else fails the benchmark.
 */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

const OPCODE_BINARY = 0x82; // FIN + binary
const OPCODE_PING = 0x89;
const OPCODE_CLOSE = 0x88;
const OPCODE_PONG = 0x8a;

export type RawWebSocket = {
  readonly socket: Socket;
  /** Queues one binary frame; frames of one turn of the event loop go out in one write. */
  send(payload: Uint8Array): void;
  /** Called for each frame with the buffer and the payload's bounds in it; valid only during the call. */
  onFrame: (buffer: Buffer, start: number, end: number) => void;
  onClose: (() => void) | undefined;
  close(): void;
};

export type RawWebSocketOptions = {
  readonly port: number;
  readonly path: string;
  readonly protocol: string;
};

/** Opens a connection to 127.0.0.1 and resolves after the handshake. */
export function openRawWebSocket(options: RawWebSocketOptions): Promise<RawWebSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: options.port, host: "127.0.0.1", noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => socket.write(handshake(options)));
    let head: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      socket.off("data", onData);
      const status = head.subarray(0, head.indexOf("\r\n")).toString("latin1");
      if (!status.includes(" 101 ")) {
        socket.destroy();
        reject(new Error(`the server answered ${status}`));
        return;
      }
      const opened = createRawWebSocket(socket);
      resolve(opened);
      const rest = head.subarray(end + 4);
      if (rest.length > 0) queueMicrotask(() => socket.emit("data", rest));
    };
    socket.on("data", onData);
  });
}

function handshake(options: RawWebSocketOptions): string {
  return [
    `GET ${options.path} HTTP/1.1`,
    `Host: 127.0.0.1:${options.port}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Protocol: ${options.protocol}`,
    "",
    "",
  ].join("\r\n");
}

function createRawWebSocket(socket: Socket): RawWebSocket {
  let rest: Buffer | undefined;
  let outgoing: Buffer[] = [];
  const opened: RawWebSocket = {
    socket,
    onFrame: () => {},
    onClose: undefined,
    send(payload) {
      if (outgoing.length === 0) setImmediate(flush);
      outgoing.push(maskedFrame(OPCODE_BINARY, payload));
    },
    close: () => socket.destroy(),
  };
  const flush = () => {
    const frames = outgoing;
    outgoing = [];
    socket.write(frames.length === 1 && frames[0] ? frames[0] : Buffer.concat(frames));
  };
  socket.removeAllListeners("error");
  socket.on("error", () => {});
  socket.on("close", () => opened.onClose?.());
  socket.on("data", (chunk: Buffer) => {
    const buffer = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    const consumed = readFrames(buffer, opened);
    rest = consumed === buffer.length ? undefined : buffer.subarray(consumed);
  });
  return opened;
}

/** Hands every whole frame on and returns how many bytes were used. */
function readFrames(buffer: Buffer, target: RawWebSocket): number {
  let at = 0;
  while (buffer.length - at >= 2) {
    const opcode = buffer[at] ?? 0;
    let length = buffer[at + 1] ?? 0;
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
    if (opcode === OPCODE_BINARY) target.onFrame(buffer, start, start + length);
    else if (opcode === OPCODE_PING) {
      target.socket.write(maskedFrame(OPCODE_PONG, buffer.subarray(start, start + length)));
    } else if (opcode !== OPCODE_CLOSE && opcode !== OPCODE_PONG) {
      throw new Error(`unexpected frame 0x${opcode.toString(16)}`);
    }
    at = start + length;
  }
  return at;
}

/** A client's frame; the mask is zero, which RFC 6455 allows a test to choose and which masks nothing. */
function maskedFrame(opcode: number, payload: Uint8Array): Buffer {
  const header = payload.length < 126 ? 6 : 8;
  const frame = Buffer.allocUnsafe(header + payload.length);
  frame[0] = opcode;
  if (header === 6) frame[1] = 0x80 | payload.length;
  else {
    frame[1] = 0x80 | 126;
    frame.writeUInt16BE(payload.length, 2);
  }
  frame.fill(0, header - 4, header);
  frame.set(payload, header);
  return frame;
}

/**
 * A server's WebSocket frames (RFC 6455, section 5.2), made by hand so that one buffer can be written to many
 * sockets. A server does not mask, and Parley never fragments:
 *
 *   0x80 | opcode      1 byte
 *   length             1 byte (< 126), or 126 + 2 bytes, or 127 + 8 bytes, big-endian
 *   payload
 */

export const OPCODE_TEXT = 0x1;
export const OPCODE_BINARY = 0x2;
export const OPCODE_PING = 0x9;
export const OPCODE_PONG = 0xa;

export type Opcode =
  | typeof OPCODE_TEXT
  | typeof OPCODE_BINARY
  | typeof OPCODE_PING
  | typeof OPCODE_PONG;

const FIN = 0x80;
const LENGTH_2_BYTES = 126;
const LENGTH_8_BYTES = 127;

/** Bytes that the header of a payload takes. */
export function websocketHeaderBytes(payloadBytes: number): number {
  if (payloadBytes < LENGTH_2_BYTES) return 2;
  return payloadBytes < 0x10000 ? 4 : 10;
}

/** Writes a header at the start of `target` and returns where the payload begins. */
export function writeWebsocketHeader(target: Buffer, opcode: Opcode, payloadBytes: number): number {
  target[0] = FIN | opcode;
  if (payloadBytes < LENGTH_2_BYTES) {
    target[1] = payloadBytes;
    return 2;
  }
  if (payloadBytes < 0x10000) {
    target[1] = LENGTH_2_BYTES;
    target.writeUInt16BE(payloadBytes, 2);
    return 4;
  }
  target[1] = LENGTH_8_BYTES;
  target.writeUInt32BE(Math.floor(payloadBytes / 0x1_0000_0000), 2);
  target.writeUInt32BE(payloadBytes >>> 0, 6);
  return 10;
}

/** One whole frame. */
export function websocketFrame(opcode: Opcode, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(websocketHeaderBytes(payload.length) + payload.length);
  frame.set(payload, writeWebsocketHeader(frame, opcode, payload.length));
  return frame;
}

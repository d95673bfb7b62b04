/** The few frames that the load generator makes and reads, with as little work per frame as the wire allows. */
import { create, toBinary } from "@bufbuild/protobuf";
import { ClientFrameSchema } from "@parley/gen/parley/realtime/v1/frame_pb";

/** What a server frame is, read from its bytes without decoding it. */
export type FrameKind =
  | "event"
  | "sent"
  | "refused"
  | "opened"
  | "caught-up"
  | "heartbeat"
  | "other";

/** Reads one frame; fields are valid until the next call (one reader per process, no garbage). */
export type FrameReader = {
  kind: FrameKind;
  requestId: number;
  /** Of an event that is a message. */
  seq: number;
  /** When the sender sent it (`performance.timeOrigin + now`, in ms), from the payload; 0 if it has none. */
  sentMs: number;
};

const kinds: Record<number, FrameKind> = {
  2: "event",
  4: "opened",
  5: "sent",
  7: "refused",
  8: "caught-up",
  11: "heartbeat",
};

/** The payload begins with this byte, then the time as a double: no valid text, and easy to find. */
const PAYLOAD_MARK = 0xfe;

export function openFrame(accessToken: string): Uint8Array {
  const open = { accessToken, positionsComplete: true, catchUpMessagesMax: 1 };
  return toBinary(
    ClientFrameSchema,
    create(ClientFrameSchema, { requestId: 1n, frame: { case: "open", value: open } }),
  );
}

export function heartbeatFrame(): Uint8Array {
  return toBinary(
    ClientFrameSchema,
    create(ClientFrameSchema, { frame: { case: "heartbeat", value: {} } }),
  );
}

export type SendTemplate = (requestId: number, nowMs: number) => Uint8Array;

/** A maker of `send` frames for one conversation: the frame is encoded once, and ids and times are patched in. */
export function sendTemplate(conversationId: string, payloadBytes: number): SendTemplate {
  const payload = new Uint8Array(payloadBytes).fill(0x61);
  payload[0] = PAYLOAD_MARK;
  const clientMessageId = "00000000-0000-4000-8000-000000000000";
  const frame = create(ClientFrameSchema, {
    requestId: 0x0fff_ffffn,
    frame: {
      case: "send",
      value: { conversationId, clientMessageId, body: { case: "payload", value: payload } },
    },
  });
  const template = Buffer.from(toBinary(ClientFrameSchema, frame));
  const idAt = template.indexOf(clientMessageId);
  const payloadAt = template.indexOf(Buffer.from(payload));
  const prefix = Math.floor(Math.random() * 0xffff_ffff)
    .toString(16)
    .padStart(8, "0");
  let counter = 0;
  return (requestId, nowMs) => {
    const bytes = Buffer.from(template);
    writeRequestId(bytes, requestId);
    counter += 1;
    bytes.write(prefix, idAt, 8, "latin1");
    bytes.write(counter.toString(16).padStart(12, "0"), idAt + 24, 12, "latin1");
    bytes.writeDoubleLE(nowMs, payloadAt + 1);
    return bytes;
  };
}

/** Field 1 as a varint of exactly four bytes, the length that the template has. */
function writeRequestId(bytes: Buffer, requestId: number): void {
  bytes[1] = (requestId & 0x7f) | 0x80;
  bytes[2] = ((requestId >> 7) & 0x7f) | 0x80;
  bytes[3] = ((requestId >> 14) & 0x7f) | 0x80;
  bytes[4] = (requestId >> 21) & 0x7f;
}

export function createFrameReader(): FrameReader & {
  read(buffer: Buffer, start: number, end: number): void;
} {
  let at = 0;
  const varint = (buffer: Buffer): number => {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = buffer[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  };
  const skip = (buffer: Buffer, wireType: number): void => {
    if (wireType === 0) varint(buffer);
    else if (wireType === 1) at += 8;
    else if (wireType === 2) {
      const length = varint(buffer);
      at += length;
    } else at += 4;
  };
  return {
    kind: "other",
    requestId: 0,
    seq: 0,
    sentMs: 0,
    read(buffer, start, end) {
      this.kind = "other";
      this.requestId = 0;
      this.seq = 0;
      this.sentMs = 0;
      at = start;
      while (at < end) {
        const tag = varint(buffer);
        const field = tag >> 3;
        if (field === 1) this.requestId = varint(buffer);
        else {
          this.kind = kinds[field] ?? "other";
          const length = varint(buffer);
          const next = at + length;
          if (field === 2) this.readEvent(buffer, next);
          at = next;
        }
      }
    },
    /** Event → message (field 1) → seq (field 2) and payload (field 11). */
    readEvent(buffer: Buffer, end: number) {
      if (varint(buffer) !== 0x0a) {
        this.kind = "other";
        return;
      }
      varint(buffer);
      while (at < end) {
        const tag = varint(buffer);
        if (tag === 0x10) this.seq = varint(buffer);
        else if (tag === 0x5a) {
          const length = varint(buffer);
          if (buffer[at] === PAYLOAD_MARK) this.sentMs = buffer.readDoubleLE(at + 1);
          at += length;
        } else skip(buffer, tag & 7);
      }
    },
  } as FrameReader & {
    read(b: Buffer, s: number, e: number): void;
    readEvent(b: Buffer, e: number): void;
  };
}

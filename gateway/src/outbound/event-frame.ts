/** One event on its way to many sessions: every form of its frame is built at most once. */
import { create, fromBinary, toBinary, toJsonString } from "@bufbuild/protobuf";
import { ContentSchema } from "@parley/gen/parley/message/v1/content_pb";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { type Event, EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { type ServerFrame, ServerFrameSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import {
  OPCODE_BINARY,
  OPCODE_TEXT,
  websocketFrame,
  websocketHeaderBytes,
  writeWebsocketHeader,
} from "./websocket-frame.ts";

/** The tag of `ServerFrame.event`: field 2, length-delimited. */
const EVENT_TAG = (2 << 3) | 2;
/** Tag and length of a ServerFrame and a WebSocket header at most; for the bound, which need not be exact. */
const FRAME_OVERHEAD_BYTES = 16;

/** An encoded `Event` with its frames. Shared by all sessions that get it, so nobody changes its bytes. */
export class EventFrame {
  /** The conversation of a durable entry; empty for ephemeral events. */
  readonly conversationId: string;
  /** The entry's place; 0 for ephemeral events. */
  readonly seq: number;
  /** The session that has the answer already; empty if none. */
  readonly originSessionId: string;
  readonly bytes: Uint8Array;
  /** Ends the span of a traced event once its frames are handed to the sockets. */
  onWritten: (() => void) | undefined;

  #binary: Buffer | undefined;
  #text: Buffer | undefined;
  #serverFrame: ServerFrame | undefined;
  #decodedFrame: ServerFrame | undefined;

  constructor(bytes: Uint8Array, conversationId = "", seq = 0, originSessionId = "") {
    this.bytes = bytes;
    this.conversationId = conversationId;
    this.seq = seq;
    this.originSessionId = originSessionId;
  }

  /** What it counts for in a session's queue, in bytes. */
  get size(): number {
    return this.bytes.length + FRAME_OVERHEAD_BYTES;
  }

  /** The binary WebSocket frame with `ServerFrame{event}` in it. */
  get binary(): Buffer {
    this.#binary ??= encodeBinary(this.bytes);
    return this.#binary;
  }

  /** The text WebSocket frame with the event decoded; call `decode` before. */
  get text(): Buffer {
    if (this.#text === undefined) {
      const json = toJsonString(ServerFrameSchema, this.decoded);
      this.#text = websocketFrame(OPCODE_TEXT, Buffer.from(json, "utf8"));
    }
    return this.#text;
  }

  /** `ServerFrame{event}`, for streams and polls on the binary roads. */
  get serverFrame(): ServerFrame {
    this.#serverFrame ??= create(ServerFrameSchema, {
      frame: { case: "event", value: this.bytes },
    });
    return this.#serverFrame;
  }

  /** `ServerFrame{decoded_event}`, for the JSON roads. Without `decode`, content is not shown. */
  get decoded(): ServerFrame {
    return this.#decodedFrame ?? this.decode(false);
  }

  /** True once the JSON forms can be taken: nothing has to be asked any more. */
  get decodable(): boolean {
    return this.#decodedFrame !== undefined || this.conversationId === "";
  }

  /** Decodes the event; with its content if the conversation is server-readable. */
  decode(serverReadable: boolean): ServerFrame {
    const event = fromBinary(EventSchema, this.bytes);
    if (event.event.case === "message" && serverReadable) showContent(event.event.value);
    this.#decodedFrame = create(ServerFrameSchema, {
      frame: { case: "decodedEvent", value: event },
    });
    return this.#decodedFrame;
  }
}

/** An `Event` as a frame without a place: presence, for example. */
export function ephemeralEvent(event: Event): EventFrame {
  return new EventFrame(toBinary(EventSchema, event));
}

/** Fills `Message.content` from its payload; a payload that is no `Content` stays opaque. */
export function showContent(message: Message): void {
  if (message.body.case !== "payload") return;
  try {
    const content = fromBinary(ContentSchema, message.body.value);
    if (content.kind.case !== undefined) message.content = content;
  } catch {
    // Whatever the sender put there: the payload itself is still in the answer.
  }
}

function encodeBinary(event: Uint8Array): Buffer {
  const lengthBytes = varintBytes(event.length);
  const payloadBytes = 1 + lengthBytes + event.length;
  const frame = Buffer.allocUnsafe(websocketHeaderBytes(payloadBytes) + payloadBytes);
  let at = writeWebsocketHeader(frame, OPCODE_BINARY, payloadBytes);
  frame[at++] = EVENT_TAG;
  let rest = event.length;
  while (rest > 0x7f) {
    frame[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  frame[at++] = rest;
  frame.set(event, at);
  return frame;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 0x7f; rest >>>= 7) bytes++;
  return bytes;
}

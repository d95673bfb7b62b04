/** The WebSocket road: frames straight to the raw socket, and what it may hold. */
import type { Socket } from "node:net";
import { toBinary, toJsonString } from "@bufbuild/protobuf";
import {
  type Goodbye,
  type ServerFrame,
  ServerFrameSchema,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import type { EventFrame } from "./event-frame.ts";
import {
  CATCH_UP_WAITING_BYTES_MAX,
  type Outlet,
  SESSION_QUEUE_FRAMES_MAX,
  type WireBytes,
} from "./outlet.ts";
import type { QueuedFrame, TurnTarget, TurnWriter } from "./turn-writer.ts";
import { OPCODE_BINARY, OPCODE_PING, OPCODE_TEXT, websocketFrame } from "./websocket-frame.ts";

const PING = websocketFrame(OPCODE_PING, new Uint8Array());

export type SocketOutletOptions = {
  readonly socket: Socket;
  readonly writer: TurnWriter;
  /** True for the JSON subprotocol. */
  readonly text: boolean;
  /** Bytes that may wait, those that the kernel has not taken included. */
  readonly queueBytesMax: number;
  /** Begins the closing handshake, after everything was written; without a goodbye if the client wanted it. */
  readonly close: (goodbye: Goodbye | undefined) => void;
};

const OUTLET = Symbol("outlet");
type OutletSocket = Socket & { [OUTLET]?: SocketOutlet };

// One function for all sockets: a closure per session would be memory per idle session.
function onDrain(this: Socket): void {
  (this as OutletSocket)[OUTLET]?.onDrain();
}

export class SocketOutlet implements Outlet, TurnTarget {
  onWritable: (() => void) | undefined;
  readonly #options: SocketOutletOptions;
  #queue: QueuedFrame[] = [];
  #queuedBytes = 0;
  /** Frames that were written and that the kernel has not taken whole. */
  #heldFrames = 0;
  #scheduled = false;
  /** Set when nothing more is taken and the road ends behind what waits. */
  #ending: { readonly goodbye: Goodbye | undefined } | undefined;
  #ended = false;

  constructor(options: SocketOutletOptions) {
    this.#options = options;
    (options.socket as OutletSocket)[OUTLET] = this;
    options.socket.on("drain", onDrain);
  }

  get waitingFrames(): number {
    return this.#queue.length + this.#heldFrames;
  }

  get writable(): boolean {
    return this.#waitingBytes < CATCH_UP_WAITING_BYTES_MAX;
  }

  event(event: EventFrame): boolean {
    return this.#push(event, event.size);
  }

  frame(frame: ServerFrame): boolean {
    const encoded = this.#encode(frame);
    return this.#push(encoded, encoded.length);
  }

  /** Queues a control frame; one that does not fit any more is left out. */
  control(frame: Buffer): void {
    this.#push(frame, frame.length);
  }

  ping(): void {
    this.control(PING);
  }

  dropEvents(): void {
    this.#queue = this.#queue.filter((frame) => Buffer.isBuffer(frame));
    this.#queuedBytes = this.#queue.reduce((sum, frame) => sum + sizeOf(frame), 0);
  }

  end(lastFrames: readonly ServerFrame[], goodbye: Goodbye | undefined): void {
    if (this.#ending !== undefined || this.#ended) return;
    for (const frame of lastFrames) {
      const encoded = this.#encode(frame);
      this.#queue.push(encoded);
      this.#queuedBytes += encoded.length;
    }
    this.#ending = { goodbye };
    this.#schedule();
  }

  destroy(): void {
    this.#ended = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#options.socket.destroy();
  }

  wire(): WireBytes {
    const { socket } = this.#options;
    return { bytesIn: socket.bytesRead, bytesOut: socket.bytesWritten - socket.writableLength };
  }

  onDrain(): void {
    this.#heldFrames = 0;
    if (this.#queue.length > 0 || this.#ending !== undefined) this.#schedule();
    this.#tellWritable();
  }

  flush(writer: TurnWriter): void {
    this.#scheduled = false;
    if (this.#ended) return;
    const { socket, text } = this.#options;
    if (!socket.writable) return;
    if (this.#queue.length > 0) {
      // The socket still holds what the kernel does not take; `drain` comes back here.
      if (socket.writableNeedDrain) return;
      const frames = this.#queue;
      this.#queue = [];
      this.#queuedBytes = 0;
      if (!socket.write(writer.join(frames, text))) this.#heldFrames = frames.length;
    }
    if (this.#ending !== undefined) {
      this.#ended = true;
      this.#options.close(this.#ending.goodbye);
    } else {
      this.#tellWritable();
    }
  }

  get #waitingBytes(): number {
    return this.#queuedBytes + this.#options.socket.writableLength;
  }

  #push(frame: QueuedFrame, bytes: number): boolean {
    if (this.#ending !== undefined || this.#ended) return true;
    if (!this.#fits(bytes)) {
      // One turn brought more than the bound: that says nothing about the reader until the socket refuses it.
      this.flush(this.#options.writer);
      if (!this.#fits(bytes)) return false;
    }
    this.#queue.push(frame);
    this.#queuedBytes += bytes;
    this.#schedule();
    return true;
  }

  #fits(bytes: number): boolean {
    const { queueBytesMax } = this.#options;
    if (this.#queue.length >= SESSION_QUEUE_FRAMES_MAX) return false;
    const waiting = this.#waitingBytes;
    return waiting === 0 || waiting + bytes <= queueBytesMax;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.writer.schedule(this);
  }

  #tellWritable(): void {
    const { onWritable } = this;
    if (onWritable === undefined || !this.writable) return;
    this.onWritable = undefined;
    onWritable();
  }

  #encode(frame: ServerFrame): Buffer {
    if (!this.#options.text)
      return websocketFrame(OPCODE_BINARY, toBinary(ServerFrameSchema, frame));
    const json = toJsonString(ServerFrameSchema, frame);
    return websocketFrame(OPCODE_TEXT, Buffer.from(json, "utf8"));
  }
}

function sizeOf(frame: QueuedFrame): number {
  return Buffer.isBuffer(frame) ? frame.length : frame.size;
}

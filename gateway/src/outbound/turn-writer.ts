/**
 * The one place that writes to WebSockets. Frames of one turn of the event loop are collected per socket and
 * written as one buffer; sockets that get the same frames share the buffer.
 */
import type { EventFrame } from "./event-frame.ts";

/** A queued frame: a shared event, or a WebSocket frame of this session alone. */
export type QueuedFrame = EventFrame | Buffer;

export type TurnTarget = {
  /** Writes what is queued, if the socket takes it. */
  flush(writer: TurnWriter): void;
  /** Gives the socket up. */
  destroy(): void;
};

/** Buffers of more frames than this are not compared: the copy is then cheaper than looking. */
const SHARED_FRAMES_MAX = 256;

export class TurnWriter {
  #targets: TurnTarget[] = [];
  #written: EventFrame[] = [];
  #scheduled = false;
  #lastFrames: readonly QueuedFrame[] = [];
  #lastText = false;
  #lastBytes: Buffer | undefined;
  readonly #onTurn: (frames: number, bytes: number) => void;
  #frames = 0;
  #bytes = 0;

  readonly #onProblem: (error: unknown) => void;

  /**
   * `onTurn` is told at the end of each turn what was handed to sockets. `onProblem` is told why a socket was given up:
   * a frame that cannot be written costs its session, and nobody else anything.
   */
  constructor(
    onTurn: (frames: number, bytes: number) => void,
    onProblem: (error: unknown) => void,
  ) {
    this.#onTurn = onTurn;
    this.#onProblem = onProblem;
  }

  /** Flushes the target at the end of this turn. */
  schedule(target: TurnTarget): void {
    this.#targets.push(target);
    this.#scheduleFlush();
  }

  /** Calls the event's `onWritten` at the end of this turn. */
  afterTurn(event: EventFrame): void {
    this.#written.push(event);
    this.#scheduleFlush();
  }

  /** The frames as one buffer; `text` chooses the form of events. */
  join(frames: readonly QueuedFrame[], text: boolean): Buffer {
    const only = frames.length === 1 ? frames[0] : undefined;
    const bytes = only === undefined ? this.#joinMany(frames, text) : bytesOf(only, text);
    this.#frames += frames.length;
    this.#bytes += bytes.length;
    return bytes;
  }

  #joinMany(frames: readonly QueuedFrame[], text: boolean): Buffer {
    if (
      this.#lastBytes !== undefined &&
      text === this.#lastText &&
      same(frames, this.#lastFrames)
    ) {
      return this.#lastBytes;
    }
    const bytes = Buffer.concat(frames.map((frame) => bytesOf(frame, text)));
    if (frames.length <= SHARED_FRAMES_MAX) {
      this.#lastFrames = frames;
      this.#lastText = text;
      this.#lastBytes = bytes;
    }
    return bytes;
  }

  #scheduleFlush(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    const targets = this.#targets;
    const written = this.#written;
    this.#targets = [];
    this.#written = [];
    for (const target of targets) this.#flushOne(target);
    this.#lastFrames = [];
    this.#lastBytes = undefined;
    for (const event of written) event.onWritten?.();
    if (this.#frames === 0) return;
    this.#onTurn(this.#frames, this.#bytes);
    this.#frames = 0;
    this.#bytes = 0;
  }

  #flushOne(target: TurnTarget): void {
    try {
      target.flush(this);
    } catch (error) {
      this.#onProblem(error);
      target.destroy();
    }
  }
}

function bytesOf(frame: QueuedFrame, text: boolean): Buffer {
  if (Buffer.isBuffer(frame)) return frame;
  return text ? frame.text : frame.binary;
}

function same(a: readonly QueuedFrame[], b: readonly QueuedFrame[]): boolean {
  if (a.length !== b.length) return false;
  // From the end: queues that differ usually differ in what came last.
  for (let index = a.length - 1; index >= 0; index--) {
    if (a[index] !== b[index]) return false;
  }
  return true;
}

/** Frames that wait to be fetched, in bounded memory; behind streams and polls. */
import { toBinary } from "@bufbuild/protobuf";
import { type ServerFrame, ServerFrameSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import { EventFrame } from "./event-frame.ts";
import { SESSION_QUEUE_FRAMES_MAX } from "./outlet.ts";

type Waiting =
  | { readonly event: EventFrame; readonly bytes: number }
  | { readonly event: undefined; readonly frame: ServerFrame; readonly bytes: number };

export class FrameList {
  readonly #bytesMax: number;
  // Frames live in [head, waiting.length); the array is cut when half of it is behind the head.
  #waiting: Waiting[] = [];
  #head = 0;
  #bytes = 0;

  /** `bytesMax` bounds what waits, besides a number of frames. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get length(): number {
    return this.#waiting.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a frame; false, without having added it, when the list is full. `force` ignores the bound. */
  add(added: EventFrame | ServerFrame, force = false): boolean {
    const item = waitingOf(added);
    const fits =
      this.length < SESSION_QUEUE_FRAMES_MAX &&
      (this.#bytes === 0 || this.#bytes + item.bytes <= this.#bytesMax);
    if (!fits && !force) return false;
    this.#waiting.push(item);
    this.#bytes += item.bytes;
    return true;
  }

  /** The first frames, at most so many and so many bytes, but one at least if there is any. */
  peek(framesMax: number, bytesMax: number, json: boolean): ServerFrame[] {
    const frames: ServerFrame[] = [];
    let bytes = 0;
    for (let index = this.#head; index < this.#waiting.length; index++) {
      const item = this.#waiting[index] as Waiting;
      bytes += item.bytes;
      if (frames.length >= framesMax || (bytes > bytesMax && frames.length > 0)) break;
      frames.push(frameOf(item, json));
    }
    return frames;
  }

  /** Takes the first `count` frames out. */
  drop(count: number): void {
    const end = Math.min(this.#head + count, this.#waiting.length);
    for (let index = this.#head; index < end; index++) {
      this.#bytes -= (this.#waiting[index] as Waiting).bytes;
    }
    this.#head = end;
    if (this.#head * 2 < this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#head);
    this.#head = 0;
  }

  dropEvents(): void {
    this.#waiting = this.#waiting.slice(this.#head).filter(({ event }) => event === undefined);
    this.#head = 0;
    this.#bytes = this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  clear(): void {
    this.#waiting = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}

function waitingOf(added: EventFrame | ServerFrame): Waiting {
  if (added instanceof EventFrame) return { event: added, bytes: added.size };
  return { event: undefined, frame: added, bytes: toBinary(ServerFrameSchema, added).length };
}

function frameOf(item: Waiting, json: boolean): ServerFrame {
  if (item.event === undefined) return item.frame;
  return json ? item.event.decoded : item.event.serverFrame;
}

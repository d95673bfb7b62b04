/** The road of long and short polling: frames stay until a later poll acknowledges them. */
import {
  type Goodbye,
  GoodbyeReason,
  type ServerFrame,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import type { EventFrame } from "./event-frame.ts";
import { FrameList } from "./frame-list.ts";
import { CATCH_UP_WAITING_BYTES_MAX, type Outlet, type WireBytes } from "./outlet.ts";

export type PollAnswer = {
  readonly frames: ServerFrame[];
  /** The position after the last frame, counted from the session's first. */
  readonly cursor: number;
};

export type PollWait = {
  readonly acknowledgedCursor: number;
  readonly framesMax: number;
  readonly bytesMax: number;
  readonly waitMs: number;
  readonly json: boolean;
  readonly signal: AbortSignal;
};

export class PollOutlet implements Outlet {
  onWritable: (() => void) | undefined;
  readonly #list: FrameList;
  readonly #wire: () => WireBytes;
  /** The position of the first frame that is kept. */
  #firstCursor = 0;
  #ending = false;
  #wake: (() => void) | undefined;

  /** Called while a poll waits: its client is there. */
  onAlive: (() => void) | undefined;
  /** Called when nothing can be fetched here any more. */
  onDestroyed: (() => void) | undefined;

  constructor(options: { readonly queueBytesMax: number; readonly wire: () => WireBytes }) {
    this.#list = new FrameList(options.queueBytesMax);
    this.#wire = options.wire;
  }

  get waitingFrames(): number {
    return this.#list.length;
  }

  get writable(): boolean {
    return this.#list.bytes < CATCH_UP_WAITING_BYTES_MAX;
  }

  /** True when the session has ended and the client has acknowledged its last frame. */
  get finished(): boolean {
    return this.#ending && this.#list.length === 0;
  }

  event(event: EventFrame): boolean {
    return this.#add(event);
  }

  frame(frame: ServerFrame): boolean {
    return this.#add(frame);
  }

  /** A client that waits in a long poll is there; one that does not is heard by its next poll. */
  ping(): void {
    if (this.#wake !== undefined) this.onAlive?.();
  }

  dropEvents(): void {
    // What a poll has shown may be shown again, so positions must not shift under it: the waiting frames go
    // with everything in front of them.
    this.#firstCursor += this.#list.length;
    this.#list.clear();
  }

  end(lastFrames: readonly ServerFrame[], goodbye: Goodbye | undefined): void {
    if (this.#ending) return;
    // Who does not poll any more is not waited for; its next poll learns that the session is gone.
    if (goodbye === undefined || goodbye.reason === GoodbyeReason.IDLE) {
      this.destroy();
      return;
    }
    for (const frame of lastFrames) this.#list.add(frame, true);
    this.#ending = true;
    this.#wake?.();
  }

  destroy(): void {
    this.#ending = true;
    this.#list.clear();
    this.#wake?.();
    const { onDestroyed } = this;
    this.onDestroyed = undefined;
    onDestroyed?.();
  }

  wire(): WireBytes {
    return this.#wire();
  }

  /**
   * Drops what is acknowledged and answers with what waits, at once if there is anything, else as soon as
   * there is or when the time is over. A newer call ends the wait of an older one.
   */
  async poll(wait: PollWait): Promise<PollAnswer> {
    this.#acknowledge(wait.acknowledgedCursor);
    this.#wake?.();
    if (this.#list.length === 0 && !this.#ending && wait.waitMs > 0) await this.#wait(wait);
    const frames = this.#list.peek(wait.framesMax, wait.bytesMax, wait.json);
    return { frames, cursor: this.#firstCursor + frames.length };
  }

  #acknowledge(cursor: number): void {
    const count = Math.min(cursor - this.#firstCursor, this.#list.length);
    if (count <= 0) return;
    this.#list.drop(count);
    this.#firstCursor += count;
    const { onWritable } = this;
    if (onWritable === undefined || !this.writable) return;
    this.onWritable = undefined;
    onWritable();
  }

  async #wait({ waitMs, signal }: PollWait): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, waitMs);
    signal.addEventListener("abort", () => resolve(), { once: true });
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
    if (this.#wake === resolve) this.#wake = undefined;
    // Frames of one turn come together: a fan-out batch is one answer and not one answer per event.
    await new Promise((next) => setImmediate(next));
  }

  #add(added: EventFrame | ServerFrame): boolean {
    if (this.#ending) return true;
    if (!this.#list.add(added)) return false;
    this.#wake?.();
    return true;
  }
}

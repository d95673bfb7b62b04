/**
 * Keeps the frames of a JSON session in order while it is asked whether an event's content may be shown. Most
 * conversations are known already, and their events pass straight through.
 */
import type { Goodbye, ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import { EventFrame } from "./event-frame.ts";
import { type Outlet, SESSION_QUEUE_FRAMES_MAX, type WireBytes } from "./outlet.ts";

export type ContentModes = {
  /** Whether the server can read the conversation; undefined if that has to be asked. */
  peek(conversationId: string): boolean | undefined;
  /** Asks. Never rejects: who cannot be asked gives false, and the payload stays opaque this time. */
  isServerReadable(conversationId: string): Promise<boolean>;
};

export class JsonGate implements Outlet {
  readonly #inner: Outlet;
  readonly #modes: ContentModes;
  #held: (EventFrame | ServerFrame)[] | undefined;
  #heldBytes = 0;
  readonly #bytesMax: number;
  readonly #onOverflow: () => void;

  /** `onOverflow` is told when frames that were held do not fit behind what waits already. */
  constructor(inner: Outlet, modes: ContentModes, bytesMax: number, onOverflow: () => void) {
    this.#inner = inner;
    this.#modes = modes;
    this.#bytesMax = bytesMax;
    this.#onOverflow = onOverflow;
  }

  get onWritable(): (() => void) | undefined {
    return this.#inner.onWritable;
  }

  set onWritable(listener: (() => void) | undefined) {
    this.#inner.onWritable = listener;
  }

  get waitingFrames(): number {
    return this.#inner.waitingFrames + (this.#held?.length ?? 0);
  }

  get writable(): boolean {
    return this.#inner.writable;
  }

  event(event: EventFrame): boolean {
    if (this.#held !== undefined) return this.#hold(event, event.size);
    if (this.#decode(event)) return this.#inner.event(event);
    this.#held = [];
    this.#hold(event, event.size);
    void this.#release();
    return true;
  }

  frame(frame: ServerFrame): boolean {
    if (this.#held === undefined) return this.#inner.frame(frame);
    return this.#hold(frame, 0);
  }

  ping(): void {
    this.#inner.ping();
  }

  dropEvents(): void {
    if (this.#held !== undefined) {
      this.#held = this.#held.filter((frame) => !(frame instanceof EventFrame));
      this.#heldBytes = 0;
    }
    this.#inner.dropEvents();
  }

  end(lastFrames: readonly ServerFrame[], goodbye: Goodbye | undefined): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const frame of held) {
      if (!this.#pass(frame)) break;
    }
    this.#inner.end(lastFrames, goodbye);
  }

  destroy(): void {
    this.#held = undefined;
    this.#inner.destroy();
  }

  wire(): WireBytes {
    return this.#inner.wire();
  }

  /** Makes the JSON form of an event if nothing has to be asked for it. */
  #decode(event: EventFrame): boolean {
    if (event.decodable) return true;
    const readable = this.#modes.peek(event.conversationId);
    if (readable === undefined) return false;
    event.decode(readable);
    return true;
  }

  #hold(frame: EventFrame | ServerFrame, bytes: number): boolean {
    const held = this.#held ?? [];
    const full =
      held.length >= SESSION_QUEUE_FRAMES_MAX ||
      (held.length > 0 && this.#heldBytes + bytes > this.#bytesMax);
    if (full) return false;
    held.push(frame);
    this.#heldBytes += bytes;
    return true;
  }

  /** Passes held frames on in their order, asking for each conversation that is not known. */
  async #release(): Promise<void> {
    for (;;) {
      const frame = this.#held?.[0];
      if (this.#held === undefined) return;
      if (frame === undefined) {
        this.#held = undefined;
        this.#heldBytes = 0;
        return;
      }
      if (frame instanceof EventFrame && !this.#decode(frame)) {
        const readable = await this.#modes.isServerReadable(frame.conversationId);
        if (!frame.decodable) frame.decode(readable);
        continue;
      }
      this.#held.shift();
      if (this.#pass(frame)) continue;
      this.#onOverflow();
      return;
    }
  }

  #pass(frame: EventFrame | ServerFrame): boolean {
    return frame instanceof EventFrame ? this.#inner.event(frame) : this.#inner.frame(frame);
  }
}

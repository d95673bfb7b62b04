/** The road of gRPC and Connect streams: frames are pulled by the RPC that writes them. */
import type { Goodbye, ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { EventFrame } from "./event-frame.ts";
import { FrameList } from "./frame-list.ts";
import { CATCH_UP_WAITING_BYTES_MAX, type Outlet, type WireBytes } from "./outlet.ts";

export type StreamOutletOptions = {
  /** True for the JSON roads. */
  readonly json: boolean;
  readonly queueBytesMax: number;
  readonly wire: () => WireBytes;
};

export class StreamOutlet implements Outlet {
  onWritable: (() => void) | undefined;
  readonly #options: StreamOutletOptions;
  readonly #list: FrameList;
  #ending = false;
  #wake: (() => void) | undefined;

  constructor(options: StreamOutletOptions) {
    this.#options = options;
    this.#list = new FrameList(options.queueBytesMax);
  }

  get waitingFrames(): number {
    return this.#list.length;
  }

  get writable(): boolean {
    return this.#list.bytes < CATCH_UP_WAITING_BYTES_MAX;
  }

  event(event: EventFrame): boolean {
    return this.#add(event);
  }

  frame(frame: ServerFrame): boolean {
    return this.#add(frame);
  }

  /** A stream's client is heard by its own heartbeats; HTTP has no question to ask. */
  ping(): void {}

  dropEvents(): void {
    this.#list.dropEvents();
  }

  end(lastFrames: readonly ServerFrame[], _goodbye: Goodbye | undefined): void {
    if (this.#ending) return;
    for (const frame of lastFrames) this.#list.add(frame, true);
    this.#ending = true;
    this.#wake?.();
  }

  destroy(): void {
    this.#ending = true;
    this.#list.clear();
    this.#wake?.();
  }

  wire(): WireBytes {
    return this.#options.wire();
  }

  /** Every frame until the session has ended; ends early, without error, when the signal aborts. */
  async *frames(signal: AbortSignal): AsyncGenerator<ServerFrame> {
    const onAbort = () => this.#wake?.();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      while (!signal.aborted) {
        const [frame] = this.#list.peek(1, 0, this.#options.json);
        if (frame === undefined) {
          if (this.#ending) return;
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = undefined;
          continue;
        }
        // Taken out one by one: what the transport has not asked for still counts as waiting.
        this.#list.drop(1);
        yield frame;
        this.#tellWritable();
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #add(added: EventFrame | ServerFrame): boolean {
    if (this.#ending) return true;
    if (!this.#list.add(added)) return false;
    this.#wake?.();
    return true;
  }

  #tellWritable(): void {
    const { onWritable } = this;
    if (onWritable === undefined || !this.writable) return;
    this.onWritable = undefined;
    onWritable();
  }
}

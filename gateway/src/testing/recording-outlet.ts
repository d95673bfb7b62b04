/** A road that keeps what it is given, and takes it only when the test lets it. */
import { fromBinary } from "@bufbuild/protobuf";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import type { Goodbye, ServerFrame } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { EventFrame } from "../outbound/event-frame.ts";
import type { Outlet, WireBytes } from "../outbound/outlet.ts";

export class RecordingOutlet implements Outlet {
  onWritable: (() => void) | undefined;
  readonly frames: ServerFrame[] = [];
  goodbye: Goodbye | undefined;
  ended = false;
  destroyed = false;
  pings = 0;
  /** Called when something was queued. */
  onQueued: () => void = () => undefined;
  readonly #waitingMax: number;
  readonly #refusedAbove: number;
  #waiting = 0;

  /** Not writable while `waitingMax` frames wait; full when `refusedAbove` do. */
  constructor(waitingMax = Number.POSITIVE_INFINITY, refusedAbove = Number.POSITIVE_INFINITY) {
    this.#waitingMax = waitingMax;
    this.#refusedAbove = refusedAbove;
  }

  get waitingFrames(): number {
    return this.#waiting;
  }

  get writable(): boolean {
    return this.#waiting < this.#waitingMax;
  }

  event(event: EventFrame): boolean {
    return this.frame(event.serverFrame);
  }

  frame(frame: ServerFrame): boolean {
    if (this.#waiting >= this.#refusedAbove) return false;
    this.frames.push(frame);
    this.#waiting++;
    this.onQueued();
    return true;
  }

  ping(): void {
    this.pings++;
  }

  /** The client reads everything that waits. */
  drain(): void {
    this.#waiting = 0;
    const { onWritable } = this;
    this.onWritable = undefined;
    onWritable?.();
  }

  dropEvents(): void {
    this.#waiting = 0;
  }

  end(lastFrames: readonly ServerFrame[], goodbye: Goodbye | undefined): void {
    this.ended = true;
    this.frames.push(...lastFrames);
    this.goodbye = goodbye;
  }

  destroy(): void {
    this.destroyed = true;
  }

  wire(): WireBytes {
    return { bytesIn: 0, bytesOut: 0 };
  }

  /** The conversations of the entries among the first frames. */
  eventsBefore(index: number): string[] {
    return this.frames.slice(0, index).flatMap(({ frame }) => {
      if (frame.case !== "event") return [];
      const { event } = fromBinary(EventSchema, frame.value);
      return event.case === "message" ? [event.value.conversationId] : [];
    });
  }

  /** Frames of one kind, in order. */
  of<C extends ServerFrame["frame"]["case"]>(kind: C) {
    return this.frames.flatMap(({ frame }) =>
      frame.case === kind
        ? [frame.value as Extract<ServerFrame["frame"], { case: C }>["value"]]
        : [],
    );
  }

  /** The entries of a conversation that were sent. */
  seqsOf(conversationId: string): number[] {
    return this.messages()
      .filter((message) => message.conversationId === conversationId)
      .map(({ seq }) => Number(seq));
  }

  messages() {
    return this.of("event").flatMap((bytes) => {
      const { event } = fromBinary(EventSchema, bytes);
      return event.case === "message" ? [event.value] : [];
    });
  }
}

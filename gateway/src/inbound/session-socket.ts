/** One WebSocket: `ws` reads frames from it, sessions speak through its outlet. */
import type { Socket } from "node:net";
import { fromBinary, fromJson, type JsonValue } from "@bufbuild/protobuf";
import {
  type ClientFrame,
  ClientFrameSchema,
  type Goodbye,
  GoodbyeReason,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import WebSocket, { type RawData } from "ws";
import type { Outlet } from "../outbound/outlet.ts";
import { SocketOutlet } from "../outbound/socket-outlet.ts";
import type { TurnWriter } from "../outbound/turn-writer.ts";
import { OPCODE_PONG, websocketFrame } from "../outbound/websocket-frame.ts";
import { closeCodeOf, createGoodbye, goodbyeFrame } from "../session/goodbye.ts";
import { CLOSING_MS_MAX, OPEN_MS_MAX } from "../session/limits.ts";
import type { Session } from "../session/session.ts";
import { gateFor, goodbyeOf, type RealtimeDependencies } from "./realtime.ts";
import type { SocketAdmission } from "./socket-admission.ts";

export type SessionSocketParts = RealtimeDependencies & {
  readonly admission: Pick<SocketAdmission, "admit">;
  readonly writer: TurnWriter;
  readonly onFrame: (bytes: number) => void;
  /** Told when the socket has a session, or is closed: `expire` is not called any more. */
  readonly onSettled: (socket: SessionSocket) => void;
};

/** Frames that may come before the session is open: what a client sends in one go behind `open`. */
const EARLY_FRAMES_MAX = 256;
const JSON_SUFFIX = ".json";
/** What `ws` closes with when it cannot read a frame (RFC 6455, section 7.4.1). */
const UNREADABLE: Readonly<Record<number, string>> = {
  1002: "A WebSocket frame breaks RFC 6455.",
  1003: "A WebSocket frame is of a kind that is not taken.",
  1007: "A text frame is not UTF-8.",
  1008: "A message comes in too many pieces.",
  1009: "A frame is larger than 512 KiB.",
};
/** Nothing went wrong (RFC 6455, section 7.4.1). */
const CLOSED_NORMALLY = 1000;
/** What fits into a close frame, besides its code. */
const CLOSE_REASON_BYTES_MAX = 123;

export class SessionSocket extends WebSocket {
  // While there is no session: when the present step has to be over, in monotone time.
  #deadlineMs = 0;
  #parts: SessionSocketParts | undefined;
  // Until the session is open.
  #address = "";
  #outlet: SocketOutlet | undefined;
  #session: Session | undefined;
  // Set while `open` is being carried out: what came behind it.
  #early: ClientFrame[] | undefined;
  #ended = false;

  /** Begins to take frames; the first one has to be `open`. */
  attach(raw: Socket, parts: SessionSocketParts, address: string): void {
    const { writer, queueBytesMax } = parts;
    this.#parts = parts;
    this.#address = address;
    this.#allow(OPEN_MS_MAX);
    this.#outlet = new SocketOutlet({
      socket: raw,
      writer,
      text: this.#text,
      queueBytesMax,
      close: (goodbye) => this.#closeWith(goodbye),
    });
    // Listeners without closures: they are most of what an idle socket costs.
    this.on("message", onMessage);
    this.on("ping", onPing);
    this.on("pong", onPong);
    this.on("close", onClose);
    this.on("error", onError);
  }

  /** Called by `ws` as well, when it cannot read a frame: the client then gets a goodbye first. */
  override close(code?: number, data?: string | Buffer): void {
    const unreadable = code === undefined || data !== undefined ? undefined : UNREADABLE[code];
    if (unreadable === undefined || this.#outlet === undefined) super.close(code, data);
    else this.refuse(unreadable);
  }

  /** Ends the socket because of what the client did. */
  refuse(detail: string): void {
    if (this.#session !== undefined) this.#parts?.hub.breach(this.#session, detail);
    else this.#end(createGoodbye(GoodbyeReason.PROTOCOL_ERROR, { detail }));
  }

  /** Looks at the time while there is no session: nobody stays without one. */
  expire(nowMs: number): void {
    if (nowMs < this.#deadlineMs) return;
    // It does not take its goodbye, or does not answer it.
    if (this.#ended) this.terminate();
    else if (this.#early !== undefined) this.#end(createGoodbye(GoodbyeReason.INTERNAL));
    else this.refuse("No `open` came in time.");
  }

  /** Ends a socket that has no session yet. */
  sayDraining(): void {
    this.#end(createGoodbye(GoodbyeReason.SERVER_DRAINING));
  }

  onFrameData(data: RawData, isBinary: boolean): void {
    const parts = this.#parts;
    if (parts === undefined || this.#ended) return;
    // `ws` gives one buffer per message unless it is told otherwise.
    const bytes = data as Buffer;
    parts.onFrame(bytes.length);
    const frame = this.#decode(bytes, isBinary);
    if (frame === undefined) return;
    const session = this.#session;
    if (session !== undefined) parts.hub.answer(session, parts.hub.handle(session, frame));
    else if (this.#early !== undefined) this.#keepEarly(frame);
    else if (frame.frame.case === "open") void this.#open(frame, parts);
    else this.refuse("The first frame was no `open`.");
  }

  onSignOfLife(pingData: Buffer | undefined): void {
    if (this.#ended) return;
    if (this.#session !== undefined) this.#parts?.hub.heard(this.#session);
    if (pingData !== undefined) this.#outlet?.control(websocketFrame(OPCODE_PONG, pingData));
  }

  onClosed(): void {
    this.#ended = true;
    this.#parts?.onSettled(this);
    if (this.#session !== undefined) this.#parts?.hub.closed(this.#session);
  }

  get #text(): boolean {
    return this.protocol.endsWith(JSON_SUFFIX);
  }

  async #open({ requestId, frame }: ClientFrame, parts: SessionSocketParts): Promise<void> {
    const outlet = this.#outlet;
    if (frame.case !== "open" || outlet === undefined) return;
    const { hub } = parts;
    const json = this.#text;
    const early: ClientFrame[] = [];
    this.#early = early;
    this.#allow(OPEN_MS_MAX);
    // What comes behind `open` stays in the kernel until the session is there.
    this.pause();
    try {
      const gate = (onOverflow: () => void): Outlet =>
        gateFor(parts, outlet, json, () => this.#session?.caller, onOverflow);
      const caller = await parts.admission.admit(frame.value.accessToken, this.#address);
      // The token has done its work, and is verified once.
      frame.value.accessToken = "";
      this.#address = "";
      const session = await hub.open({
        open: frame.value,
        requestId,
        caller,
        json,
        takesSubmit: false,
        outletOf: gate,
      });
      if (this.#ended) {
        hub.closed(session);
        return;
      }
      this.#session = session;
      this.#early = undefined;
      parts.onSettled(this);
      for (const next of early) hub.answer(session, hub.handle(session, next));
    } catch (error) {
      this.#end(goodbyeOf(error));
    } finally {
      this.resume();
    }
  }

  #keepEarly(frame: ClientFrame): void {
    if ((this.#early?.length ?? 0) >= EARLY_FRAMES_MAX) {
      this.refuse("Too many frames came before the session was open.");
    } else {
      this.#early?.push(frame);
    }
  }

  #decode(bytes: Buffer, isBinary: boolean): ClientFrame | undefined {
    if (isBinary === this.#text) {
      this.refuse(`Frames of ${this.protocol} are ${this.#text ? "text" : "binary"}.`);
      return undefined;
    }
    try {
      if (isBinary) return fromBinary(ClientFrameSchema, bytes);
      const json = JSON.parse(bytes.toString("utf8")) as JsonValue;
      return fromJson(ClientFrameSchema, json, { ignoreUnknownFields: true });
    } catch {
      this.refuse("A message is no readable `ClientFrame`.");
      return undefined;
    }
  }

  #end(goodbye: Goodbye): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#allow(CLOSING_MS_MAX);
    this.#outlet?.end([goodbyeFrame(goodbye)], goodbye);
  }

  #allow(ms: number): void {
    this.#deadlineMs = (this.#parts?.clock.monotoneMs() ?? 0) + ms;
  }

  #closeWith(goodbye: Goodbye | undefined): void {
    if (goodbye === undefined) {
      super.close(CLOSED_NORMALLY);
      return;
    }
    const reason = Buffer.from(goodbye.detail, "utf8").subarray(0, CLOSE_REASON_BYTES_MAX);
    super.close(closeCodeOf(goodbye), reason);
  }
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  (this as SessionSocket).onFrameData(data, isBinary);
}

function onPing(this: WebSocket, data: Buffer): void {
  (this as SessionSocket).onSignOfLife(data);
}

function onPong(this: WebSocket): void {
  (this as SessionSocket).onSignOfLife(undefined);
}

function onClose(this: WebSocket): void {
  (this as SessionSocket).onClosed();
}

function onError(): void {
  // Unreadable frames are answered in `close`; a broken connection is followed by `close`.
}

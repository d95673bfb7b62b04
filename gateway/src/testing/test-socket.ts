/** A WebSocket client for tests: typed frames in both directions, and waiting for the one that matters. */
import { once } from "node:events";
import {
  create,
  fromBinary,
  fromJsonString,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import {
  ClientFrameSchema,
  type OpenSchema,
  type ServerFrame,
  ServerFrameSchema,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import { WebSocket } from "ws";

export type FrameCase = NonNullable<ServerFrame["frame"]["case"]>;
type Value<C extends FrameCase> = Extract<ServerFrame["frame"], { case: C }>["value"];
type Sent = NonNullable<MessageInitShape<typeof ClientFrameSchema>["frame"]>;

export class TestSocket implements AsyncDisposable {
  readonly socket: WebSocket;
  readonly frames: ServerFrame[] = [];
  /** JSON texts as they came, on a JSON socket. */
  readonly texts: string[] = [];
  closeCode: number | undefined;
  readonly #json: boolean;
  #listeners: (() => void)[] = [];
  #requestId = 0n;

  constructor(socket: WebSocket) {
    this.socket = socket;
    this.#json = socket.protocol.endsWith("json");
    socket.on("message", (data: Buffer) => this.#take(data));
    socket.on("close", (code) => {
      this.closeCode = code;
      this.#tell();
    });
    socket.on("error", () => undefined);
  }

  /** Connects, without opening a session. */
  static async connect(
    port: number,
    options: {
      protocol?: string;
      origin?: string;
      headers?: Record<string, string>;
      autoPong?: boolean;
    } = {},
  ): Promise<TestSocket> {
    const { protocol = "parley.v1.proto", ...rest } = options;
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/socket`, [protocol], rest);
    await once(socket, "open");
    return new TestSocket(socket);
  }

  /** Connects, opens a session and resolves when it is caught up. */
  static async open(
    port: number,
    open: MessageInitShape<typeof OpenSchema>,
    options: { protocol?: string } = {},
  ): Promise<TestSocket> {
    const socket = await TestSocket.connect(port, options);
    socket.send({ case: "open", value: { positionsComplete: true, ...open } });
    await socket.next("caughtUp");
    return socket;
  }

  send(frame: Sent, requestId: bigint = ++this.#requestId): bigint {
    const message = create(ClientFrameSchema, { requestId, frame });
    this.socket.send(
      this.#json ? toJsonString(ClientFrameSchema, message) : toBinary(ClientFrameSchema, message),
    );
    return requestId;
  }

  /** The first frame of a kind that came or will come, from `from` on. */
  async next<C extends FrameCase>(kind: C, from = 0): Promise<Value<C>> {
    for (;;) {
      const found = this.frames.slice(from).find(({ frame }) => frame.case === kind);
      if (found !== undefined) return found.frame.value as Value<C>;
      await this.#change(`a frame ${kind}`);
    }
  }

  /** The frame that answers a request. */
  async answer(requestId: bigint): Promise<ServerFrame["frame"]> {
    for (;;) {
      const found = this.frames.find((frame) => frame.requestId === requestId);
      if (found !== undefined) return found.frame;
      await this.#change(`the answer to ${requestId}`);
    }
  }

  /** Resolves when the condition holds after some frame. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#change("a condition");
  }

  async closed(): Promise<number> {
    while (this.closeCode === undefined) await this.#waitForChange();
    return this.closeCode;
  }

  /** The message entries that came, as `conversation/seq`. */
  get entries(): string[] {
    return this.messages.map(({ conversationId, seq }) => `${conversationId}/${seq}`);
  }

  get messages() {
    return this.events.flatMap(({ event }) => (event.case === "message" ? [event.value] : []));
  }

  get events() {
    return this.frames.flatMap(({ frame }) => {
      if (frame.case === "event") return [fromBinary(EventSchema, frame.value)];
      return frame.case === "decodedEvent" ? [frame.value] : [];
    });
  }

  seqsOf(conversationId: string): number[] {
    return this.messages
      .filter((message) => message.conversationId === conversationId)
      .map(({ seq }) => Number(seq));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.closeCode !== undefined) return;
    this.socket.terminate();
    await this.closed();
  }

  #take(data: Buffer): void {
    if (this.#json) {
      const text = data.toString("utf8");
      this.texts.push(text);
      this.frames.push(fromJsonString(ServerFrameSchema, text));
    } else {
      this.frames.push(fromBinary(ServerFrameSchema, data));
    }
    this.#tell();
  }

  #tell(): void {
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }

  async #change(what: string): Promise<void> {
    if (this.closeCode !== undefined) {
      throw new Error(`the socket closed with ${this.closeCode} before ${what} came`);
    }
    await this.#waitForChange();
  }

  #waitForChange(): Promise<void> {
    return new Promise((resolve) => this.#listeners.push(resolve));
  }
}

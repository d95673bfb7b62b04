/** Sessions of the in-test server: catch-up, live events, answers to frames, on whatever road. */
import { randomUUID } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "@parley/gen/google/rpc/error_details_pb";
import { type Message, ReceiptSchema } from "@parley/gen/parley/message/v1/message_pb";
import {
  type SendMessageRequest,
  SendMessageResponseSchema,
  type UpdateReceiptRequest,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { PresenceSchema, PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import { type Event, EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import {
  type ClientFrame,
  type GoodbyeSchema,
  type MorePositions,
  type Open,
  type Position,
  type ServerFrame,
  ServerFrameSchema,
  type WatchPresence,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import type { TestConversation, TestDevice, TestModel } from "./test-model.ts";

/** What a test makes go wrong. Everything is off at first. */
export type Faults = {
  /** Refuses a send before it is accepted. */
  refuseSend?: ((request: SendMessageRequest) => ConnectError | undefined) | undefined;
  /** Accepts a send, and cuts the session instead of answering. */
  loseAnswer?: ((request: SendMessageRequest) => boolean) | undefined;
  /** Replaces live events on their way to a session: loses, repeats, reorders them. */
  mangle?: ((events: readonly Event[]) => readonly Event[]) | undefined;
  /** How many of the next `ListMessages` fail. */
  failListMessages?: number;
  /** True holds live events back until `flushHeld`. */
  hold?: boolean;
};

export type TestSession = {
  readonly id: string;
  readonly device: TestDevice;
  readonly open: Open;
  readonly positions: Map<string, Position>;
  readonly deliver: (frame: ServerFrame) => void;
  /** Ends the road below; with a frame or without. */
  readonly end: (goodbye?: ServerFrame) => void;
  watched: ReadonlySet<string>;
  caughtUp: boolean;
  over: boolean;
  held: Event[];
};

type ServerFrameInit = Exclude<MessageInitShape<typeof ServerFrameSchema>, ServerFrame>["frame"];

export class TestSessions {
  readonly sessions = new Map<string, TestSession>();
  readonly faults: Faults = {};
  readonly #model: TestModel;
  heartbeatMs = 5_000;
  /** Opens seen, with the positions that they brought in the end. */
  readonly opens: { readonly deviceId: string; readonly positions: Map<string, Position> }[] = [];
  /** Receipts seen, in order. */
  readonly receipts: UpdateReceiptRequest[] = [];
  typingNotices = 0;
  /** `close` frames seen. */
  closes = 0;

  constructor(model: TestModel) {
    this.#model = model;
  }

  openSession(
    device: TestDevice,
    open: Open,
    road: Pick<TestSession, "deliver" | "end">,
    requestId = 0n,
  ): TestSession {
    const session: TestSession = {
      id: randomUUID(),
      device,
      open,
      positions: new Map(open.positions.map((p) => [p.conversationId, p])),
      deliver: road.deliver,
      end: road.end,
      watched: new Set(),
      caughtUp: false,
      over: false,
      held: [],
    };
    const before = this.online(device.userId);
    this.sessions.set(session.id, session);
    this.#send(session, requestId, {
      case: "opened",
      value: {
        sessionId: session.id,
        userId: device.userId,
        deviceId: device.deviceId,
        heartbeatInterval: durationFromMs(this.heartbeatMs),
        accessExpireTime: timestampFromMs(device.accessExpireMs),
        serverTime: timestampNow(),
      },
    });
    if (!before) this.#tellPresence(device.userId);
    if (open.positionsComplete) this.#catchUp(session);
    return session;
  }

  #catchUp(session: TestSession): void {
    const { positions, device, open } = session;
    this.opens.push({ deviceId: device.deviceId, positions });
    const max = open.catchUpMessagesMax === 0 ? 50 : open.catchUpMessagesMax;
    const skipped: { conversationId: string; firstSeq: bigint; lastSeq: bigint }[] = [];
    const missing: Message[] = [];
    const diverged = this.#diverged(session);
    for (const conversation of this.#model.conversations.values()) {
      if (diverged.some(({ conversationId }) => conversationId === conversation.id)) continue;
      const position = positions.get(conversation.id)?.seq ?? 0n;
      const readable = this.#model.readable(conversation, device.userId);
      const entries = readable.filter((entry) => entry.seq > position);
      const sent = entries.slice(-max);
      missing.push(...sent);
      const left = entries.slice(0, entries.length - sent.length);
      const first = left[0];
      const last = left.at(-1);
      if (!first || !last) continue;
      skipped.push({ conversationId: conversation.id, firstSeq: first.seq, lastSeq: last.seq });
    }
    missing.sort((a, b) =>
      a.messageId < b.messageId ? -1 : a.messageId > b.messageId ? 1 : Number(a.seq - b.seq),
    );
    for (const entry of missing) this.#sendEvent(session, { case: "message", value: entry });
    session.caughtUp = true;
    this.#send(session, 0n, { case: "caughtUp", value: { skipped, diverged } });
  }

  /** Conversations whose entry at the device's position is another here, or none. */
  #diverged({ positions, device }: TestSession) {
    return [...positions.values()].flatMap(({ conversationId, seq, messageId }) => {
      if (messageId === 0n) return [];
      const conversation = this.#model.conversations.get(conversationId);
      const readable = conversation ? this.#model.readable(conversation, device.userId) : [];
      if (readable.some((e) => e.seq === seq && e.messageId === messageId)) return [];
      return [{ conversationId, lastSeq: readable.at(-1)?.seq ?? 0n }];
    });
  }

  /** Carries a frame out; the answer, or undefined where there is none. */
  handle(session: TestSession, { requestId, frame }: ClientFrame): ServerFrame | undefined {
    const answer = (value: ServerFrameInit) =>
      create(ServerFrameSchema, frameInit(requestId, value));
    try {
      switch (frame.case) {
        case "morePositions":
          this.#morePositions(session, frame.value);
          return answer({ case: "done", value: {} });
        case "send":
          return this.#handleSend(session, frame.value, answer);
        case "receipt":
          this.updateReceipt(session.device, frame.value);
          return answer({ case: "done", value: {} });
        case "typing":
          this.typingNotices++;
          this.#tellTyping(session, frame.value.conversationId, frame.value.typing);
          return undefined;
        case "watchPresence":
          this.#watch(session, frame.value);
          return answer({ case: "done", value: {} });
        case "close":
          this.closes++;
          this.cut(session);
          return answer({ case: "done", value: {} });
        case "heartbeat":
          return answer({ case: "heartbeat", value: {} });
        case "authenticate":
          this.#model.authenticate(frame.value.accessToken);
          return answer({ case: "done", value: {} });
        default:
          return answer({ case: "refused", value: { code: 12, reason: "UNKNOWN_FRAME" } });
      }
    } catch (error) {
      return answer({ case: "refused", value: toRefused(ConnectError.from(error)) });
    }
  }

  #handleSend(
    session: TestSession,
    request: SendMessageRequest,
    answer: (value: ServerFrameInit) => ServerFrame,
  ): ServerFrame | undefined {
    const response = this.send(session.device, request, session.id);
    if (this.faults.loseAnswer?.(request)) {
      this.cut(session);
      return undefined;
    }
    return answer({ case: "sent", value: response });
  }

  #morePositions(session: TestSession, more: MorePositions): void {
    for (const position of more.positions) session.positions.set(position.conversationId, position);
    if (more.positionsComplete) this.#catchUp(session);
  }

  #watch(session: TestSession, { userIds }: WatchPresence): void {
    session.watched = new Set(userIds);
    for (const userId of userIds) this.#sendEvent(session, this.#presence(userId));
  }

  online(userId: string): boolean {
    return [...this.sessions.values()].some((session) => session.device.userId === userId);
  }

  #presence(userId: string): Event["event"] {
    const status = this.online(userId) ? PresenceStatus.ONLINE : PresenceStatus.OFFLINE;
    return { case: "presence", value: create(PresenceSchema, { userId, status }) };
  }

  #tellPresence(userId: string): void {
    for (const session of this.sessions.values()) {
      if (session.watched.has(userId)) this.#sendEvent(session, this.#presence(userId));
    }
  }

  #tellTyping(from: TestSession, conversationId: string, typing: boolean): void {
    const conversation = this.#model.conversation(conversationId, from.device.userId);
    this.#publish(
      conversation,
      {
        case: "typing",
        value: {
          $typeName: "parley.realtime.v1.TypingNoticed",
          conversationId,
          userId: from.device.userId,
          typing,
        },
      },
      (session) => session.device.userId !== from.device.userId,
    );
  }

  send(device: TestDevice, request: SendMessageRequest, originSessionId = "") {
    const refused = this.faults.refuseSend?.(request);
    if (refused) throw refused;
    const { conversation, entry, duplicate } = this.#model.appendMessage(device, request);
    if (!duplicate) this.publishEntry(conversation, entry, originSessionId);
    const { messageId, seq, acceptTime } = entry;
    return create(SendMessageResponseSchema, {
      messageId,
      seq,
      acceptTime: acceptTime ?? timestampNow(),
      duplicate,
    });
  }

  /** Tells every session that may read an entry of it, but the one that it came from. */
  publishEntry(conversation: TestConversation, entry: Message, originSessionId = ""): void {
    this.#publish(
      conversation,
      { case: "message", value: entry },
      (session) =>
        session.id !== originSessionId &&
        this.#model.readable(conversation, session.device.userId).includes(entry),
    );
  }

  #publish(
    conversation: TestConversation,
    event: Event["event"],
    audience: (session: TestSession) => boolean,
  ): void {
    for (const session of [...this.sessions.values()]) {
      if (!session.caughtUp || !conversation.windows.has(session.device.userId)) continue;
      if (!audience(session)) continue;
      session.held.push(create(EventSchema, { event }));
      if (!this.faults.hold) this.#flush(session);
    }
  }

  /** Sends what `hold` kept back. */
  flushHeld(): void {
    for (const session of [...this.sessions.values()]) this.#flush(session);
  }

  #flush(session: TestSession): void {
    const events = session.held.splice(0);
    for (const event of this.faults.mangle?.(events) ?? events)
      this.#sendEvent(session, event.event);
  }

  updateReceipt(device: TestDevice, request: UpdateReceiptRequest) {
    this.receipts.push(request);
    const { conversationId } = request;
    const conversation = this.#model.conversation(conversationId, device.userId);
    const known = conversation.receipts.get(device.userId) ?? { delivered: 0n, read: 0n };
    const head = BigInt(conversation.entries.length);
    const bound = (seq: bigint) => (seq > head ? head : seq);
    known.read = bound(request.readSeq > known.read ? request.readSeq : known.read);
    const delivered = request.deliveredSeq > known.read ? request.deliveredSeq : known.read;
    known.delivered = bound(delivered > known.delivered ? delivered : known.delivered);
    conversation.receipts.set(device.userId, known);
    const receipt = create(ReceiptSchema, {
      conversationId,
      userId: device.userId,
      deliveredSeq: known.delivered,
      readSeq: known.read,
      updateTime: timestampNow(),
    });
    this.#publish(
      conversation,
      { case: "receipt", value: receipt },
      (session) => session.device !== device,
    );
    return receipt;
  }

  #sendEvent(session: TestSession, event: Event["event"]): void {
    const bytes = toBinary(EventSchema, create(EventSchema, { event }));
    this.#send(session, 0n, { case: "event", value: bytes });
  }

  #send(session: TestSession, requestId: bigint, frame: ServerFrameInit): void {
    if (!session.over) session.deliver(create(ServerFrameSchema, frameInit(requestId, frame)));
  }

  /** Sends a frame of any kind to every session. */
  sendToAll(frame: ServerFrameInit): void {
    for (const session of this.sessions.values()) this.#send(session, 0n, frame);
  }

  /** Ends a session without a word. */
  cut(session: TestSession): void {
    this.forget(session);
    session.end();
  }

  cutAll(): void {
    for (const session of [...this.sessions.values()]) this.cut(session);
  }

  goodbyeAll(goodbye: MessageInitShape<typeof GoodbyeSchema>): void {
    for (const session of [...this.sessions.values()]) {
      this.forget(session);
      session.end(create(ServerFrameSchema, { frame: { case: "goodbye", value: goodbye } }));
    }
  }

  /** The road below ended. */
  forget(session: TestSession): void {
    if (session.over) return;
    session.over = true;
    this.sessions.delete(session.id);
    if (!this.online(session.device.userId)) this.#tellPresence(session.device.userId);
  }
}

function frameInit(requestId: bigint, frame: ServerFrameInit) {
  return frame === undefined ? { requestId } : { requestId, frame };
}

function toRefused(error: ConnectError) {
  const info = error.findDetails(ErrorInfoSchema)[0];
  const retryDelay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    code: error.code,
    reason: info?.reason ?? "INTERNAL",
    description: error.rawMessage,
    metadata: info?.metadata ?? {},
    ...(retryDelay ? { retryDelay } : {}),
  };
}

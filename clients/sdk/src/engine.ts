/** Everything of one person's client that lives while they are signed in, wired by hand. */
import { create, fromBinary } from "@bufbuild/protobuf";
import { type Client, Code } from "@connectrpc/connect";
import type { Message, Receipt } from "@parley/gen/parley/message/v1/message_pb";
import {
  type MessageService,
  type SendMessageResponse,
  SendMessageResponseSchema,
  UpdateReceiptRequestSchema,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { type CaughtUp, NotifyTypingSchema } from "@parley/gen/parley/realtime/v1/frame_pb";
import { createChanges } from "./async/changes.ts";
import type { TokenKeeper } from "./auth/token-keeper.ts";
import type { Emitter } from "./emitter.ts";
import { clientError, type ParleyError } from "./errors.ts";
import type { ClientEvents } from "./events.ts";
import { createPresenceWatch, type PresenceWatch } from "./live/presence-watch.ts";
import { createReceipts, type Receipts } from "./live/receipts.ts";
import { createTyping, type Typing } from "./live/typing.ts";
import { Outbox } from "./outbox/outbox.ts";
import { ownEntry, toRequest } from "./outbox/send-message.ts";
import { Connector } from "./session/connector.ts";
import type { Road, RoadName } from "./session/road.ts";
import type { RoadChooser } from "./session/road-chooser.ts";
import {
  type ClientStorage,
  ENTRIES_KEPT_MAX,
  type StoredSend,
  type StoredState,
} from "./storage/client-storage.ts";
import { readStored } from "./sync/stored-entries.ts";
import { Synchronizer } from "./sync/synchronizer.ts";
import { createTimelineStore, type TimelineStore } from "./sync/timeline-store.ts";
import type { Timing } from "./timing.ts";

export type EngineDependencies = {
  readonly storage: ClientStorage;
  readonly tokens: TokenKeeper;
  readonly messages: Client<typeof MessageService>;
  readonly roads: ReadonlyMap<RoadName, Road>;
  readonly createChooser: (remembered: string | undefined) => RoadChooser;
  readonly emitter: Emitter<ClientEvents>;
  readonly timing: Timing;
  readonly catchUpMessagesMax: number;
  readonly now: () => number;
  readonly random: () => number;
};

const ROAD_SETTING = "road";

/** One person's client at work. */
export class Engine {
  readonly #dependencies: EngineDependencies;
  readonly store: TimelineStore;
  readonly synchronizer: Synchronizer;
  readonly outbox: Outbox;
  readonly receipts: Receipts;
  readonly typing: Typing;
  readonly presence: PresenceWatch;
  #connector: Connector | undefined;
  #caughtUp = false;
  readonly #changes = createChanges();

  constructor(dependencies: EngineDependencies) {
    this.#dependencies = dependencies;
    const { storage, messages, emitter, timing, now, random, tokens } = dependencies;
    const onFailure = (error: ParleyError) => emitter.emit("error", error);
    this.store = createTimelineStore({ storage, onFailure });
    this.synchronizer = new Synchronizer({
      store: this.store,
      listMessages: (request, signal) => messages.listMessages(request, { signal }),
      readStored: (id) =>
        readStored(id, { count: ENTRIES_KEPT_MAX }, { storage, store: this.store }),
      gapGraceMs: timing.gapGraceMs,
      onEntry: (entry) => this.#onEntry(entry),
      onPosition: (conversationId) => this.receipts.delivered(conversationId),
      onReplaced: (event) => {
        this.receipts.onReplaced(event.conversationId);
        emitter.emit("conversationReplaced", event);
      },
      onHopeless: (error) => {
        onFailure(error);
        this.#connector?.restart();
      },
    });
    this.outbox = new Outbox({
      storage,
      deviceId: () => tokens.account?.deviceId ?? "",
      isReady: () => this.#maySend(),
      ready: (signal) => this.#changes.until(() => this.#maySend(), signal),
      deliver: (send, signal) => this.#deliver(send, signal),
      onAccepted: (send, response) => this.#onAccepted(send, response),
      onChange: (event) => emitter.emit("send", event),
      now,
      random,
    });
    this.receipts = createReceipts({
      store: this.store,
      update: (receipt) => this.#updateReceipt(receipt),
      isOnline: () => this.#connector?.session !== undefined,
      intervalMs: timing.receiptIntervalMs,
      now,
    });
    this.typing = createTyping({
      send: (conversationId, typing) => {
        const value = create(NotifyTypingSchema, { conversationId, typing });
        this.#connector?.session?.notify({ case: "typing", value });
      },
      onChange: (event) => emitter.emit("typing", event),
      intervalMs: timing.typingIntervalMs,
      expiryMs: timing.typingExpiryMs,
      now,
    });
    this.presence = createPresenceWatch({
      session: () => this.#connector?.session,
      onChange: (presence) => emitter.emit("presence", presence),
    });
  }

  /** Takes over what is stored, and starts sending what is left. */
  restore(state: StoredState): void {
    this.store.restore(state.timelines);
    this.synchronizer.restore(state.timelines);
    this.#connector = this.#createConnector(state.settings[ROAD_SETTING]);
    this.outbox.restore(state.sends);
  }

  connect(): void {
    this.#connector?.connect();
  }

  async disconnect(): Promise<void> {
    await this.#connector?.disconnect();
  }

  wake(): void {
    this.#connector?.wake();
  }

  /** Resolves when a session has caught up; rejects when the connection was given up. */
  async untilCaughtUp(signal: AbortSignal): Promise<void> {
    await this.#changes.until(() => this.#caughtUp || !this.#connector?.running, signal);
    if (!this.#caughtUp)
      throw clientError(Code.Unavailable, "NOT_CONNECTED", "There is no session.");
  }

  /** The account changed: what waits for one may go on. */
  onAccount(): void {
    this.#changes.wake();
  }

  async close(): Promise<void> {
    this.synchronizer.close();
    this.receipts.close();
    this.typing.close();
    await this.disconnect();
    await this.outbox.close();
    await this.store.close();
  }

  #createConnector(remembered: string | undefined): Connector {
    const { emitter, storage, roads, tokens, timing, now, random } = this.#dependencies;
    let road = remembered;
    return new Connector({
      roads,
      chooser: this.#dependencies.createChooser(remembered),
      tokens,
      timing,
      now,
      random,
      catchUpMessagesMax: this.#dependencies.catchUpMessagesMax,
      positions: () => this.synchronizer.positions(),
      onState: (state) => {
        if (state.state !== "online") this.#beforeCaughtUp();
        emitter.emit("stateChanged", state);
        if (state.state === "online") this.#onOnline();
        this.#changes.wake();
      },
      onOpened: () => this.#beforeCaughtUp(),
      onEvent: (bytes) => this.#onEvent(bytes),
      onCaughtUp: (caughtUp) => void this.#onCaughtUp(caughtUp),
      onResync: (waitingFrames) => emitter.emit("resync", { waitingFrames }),
      onRoad: (name) => {
        if (name === road) return;
        road = name;
        storage.write({ settings: { [ROAD_SETTING]: name } }).catch(() => {});
      },
    });
  }

  #beforeCaughtUp(): void {
    this.#caughtUp = false;
    if (this.#connector?.running) this.synchronizer.beginCatchUp();
    else this.synchronizer.endCatchUp();
  }

  #onOnline(): void {
    this.receipts.onOnline();
    this.presence.onOnline();
  }

  async #onCaughtUp({ skipped, diverged }: CaughtUp): Promise<void> {
    const ranges = skipped.map((range) => ({
      conversationId: range.conversationId,
      first: range.firstSeq,
      last: range.lastSeq,
    }));
    const replacing =
      diverged.length > 0 &&
      this.synchronizer.replace(diverged.map(({ conversationId }) => conversationId));
    this.synchronizer.caughtUp(ranges);
    if (replacing && !(await replacing)) return;
    this.#caughtUp = true;
    this.#dependencies.emitter.emit("caughtUp", { skipped: ranges });
    this.#changes.wake();
  }

  #onEvent(bytes: Uint8Array): void {
    const { emitter, tokens } = this.#dependencies;
    const { event } = fromBinary(EventSchema, bytes);
    switch (event.case) {
      case "message":
        this.synchronizer.offer(event.value);
        break;
      case "receipt":
        if (event.value.userId === tokens.account?.userId) this.#confirm(event.value);
        emitter.emit("receipt", event.value);
        break;
      case "typing":
        this.typing.onNotice(event.value);
        break;
      case "presence":
        this.presence.onPresence(event.value);
        break;
      case "preferences":
        emitter.emit("preferences", event.value);
        break;
    }
  }

  #onEntry(entry: Message): void {
    const { emitter, tokens } = this.#dependencies;
    const { conversationId, seq, messageId, acceptTime } = entry;
    if (entry.senderDeviceId !== "" && entry.senderDeviceId === tokens.account?.deviceId) {
      // The answer may have been lost; the entry itself tells that the server has the message.
      const response = { messageId, seq, duplicate: true, ...(acceptTime ? { acceptTime } : {}) };
      this.outbox.confirm(entry.clientMessageId, create(SendMessageResponseSchema, response));
    }
    if (entry.body.case === "payload") {
      this.typing.onMessage(conversationId, entry.senderUserId);
      // Sending counts as having read everything before (`MessageService`).
      if (entry.senderUserId === tokens.account?.userId)
        this.#confirm({ conversationId, deliveredSeq: seq, readSeq: seq });
    }
    emitter.emit("message", entry);
    if (entry.body.case === "change") {
      emitter.emit("conversationChanged", { conversationId, change: entry.body.value, entry });
    }
  }

  #confirm(receipt: Pick<Receipt, "conversationId" | "deliveredSeq" | "readSeq">): void {
    this.receipts.confirmed(receipt.conversationId, receipt);
  }

  /** A session is open; or none is wanted, and messages go out by themselves. */
  #maySend(): boolean {
    if (!this.#dependencies.tokens.account || !this.#connector) return false;
    return this.#connector.session !== undefined || !this.#connector.running;
  }

  async #deliver(send: StoredSend, signal: AbortSignal): Promise<SendMessageResponse> {
    const request = toRequest(send);
    const session = this.#connector?.session;
    if (!session) return this.#dependencies.messages.sendMessage(request, { signal });
    const answer = await session.request({ case: "send", value: request });
    if (answer.case === "sent") return answer.value;
    throw clientError(Code.Internal, "PROTOCOL", "The server did not answer a send with `sent`.");
  }

  #onAccepted(send: StoredSend, response: SendMessageResponse): void {
    const { conversationId } = send;
    const account = this.#dependencies.tokens.account;
    if (!account) return;
    this.synchronizer.offerOwn(conversationId, response.seq, (previous) =>
      ownEntry(send, response, account, previous),
    );
  }

  async #updateReceipt(receipt: {
    readonly conversationId: string;
    readonly deliveredSeq: bigint;
    readonly readSeq: bigint;
  }): Promise<void> {
    const value = create(UpdateReceiptRequestSchema, receipt);
    await this.#connector?.session?.request({ case: "receipt", value });
  }
}

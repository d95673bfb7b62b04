/** The services behind a gateway under test, over one in-memory chat. */
import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Transport } from "@connectrpc/connect";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { ConversationSchema } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import {
  type AppendBatchesRequest,
  type AppendItem,
  AppendResultSchema,
  AppendService,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { TimelineService } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { InboxService } from "@parley/gen/parley/message/v1/inbox_service_pb";
import { MessageService } from "@parley/gen/parley/message/v1/message_service_pb";
import { ParkedRecordService } from "@parley/gen/parley/ops/v1/parked_record_service_pb";
import { PresenceService } from "@parley/gen/parley/presence/v1/presence_service_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { notFound, permissionDenied, toRefusalFields } from "@parley/platform/errors";
import { type BatchOutcome, serveBatchStream } from "@parley/platform/rpc/batch-stream";
import { requireDevice } from "@parley/platform/rpc/caller";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import type { Route } from "@parley/platform/rpc/route";
import { silentTelemetry } from "@parley/platform/telemetry/telemetry";
import { type ChatEntry, MemoryChat } from "./memory-chat.ts";
import { MemoryRegistry } from "./memory-registry.ts";
import { readRanges } from "./memory-timeline.ts";
import { partialRoute } from "./partial-route.ts";
import { createTokenMint, type TokenMint } from "./tokens.ts";

export type MemoryServices = {
  readonly chat: MemoryChat;
  readonly registry: MemoryRegistry;
  readonly mint: TokenMint;
  readonly revokedDevices: Set<string>;
  /** People whom nobody may see. */
  readonly hiddenUsers: Set<string>;
  /** What was dispatched: the decoded typing notices. */
  readonly typing: { conversationId: string; userId: string; typing: boolean }[];
  readonly receipts: { userId: string; conversationId: string; readSeq: bigint }[];
  /** Questions that were asked, by RPC. */
  readonly calls: Map<string, number>;
  /** Awaited before an RPC answers; for tests that stop time. */
  hold: (rpc: string) => Promise<void> | undefined;
  readonly transports: Record<"directory" | "message" | "fanout" | "presence", Transport>;
};

/** `given` saves making keys for a test that makes many of these. */
export async function createMemoryServices(given?: TokenMint): Promise<MemoryServices> {
  const services: MemoryServices = {
    chat: new MemoryChat(),
    registry: new MemoryRegistry(),
    mint: given ?? (await createTokenMint()),
    revokedDevices: new Set(),
    hiddenUsers: new Set(),
    typing: [],
    receipts: [],
    calls: new Map(),
    hold: () => undefined,
    transports: {} as MemoryServices["transports"],
  };
  const { registry } = services;
  Object.assign(services.transports, {
    directory: host([...directoryRoutes(services)]),
    message: host([...messageRoutes(services)]),
    fanout: host([...fanoutRoutes(services)]),
    presence: host([registry.route, partialRoute(PresenceService, {})]),
  });
  return services;
}

function host(routes: Route[]): Transport {
  return createInProcessTransport({
    routes,
    interceptors: standardInterceptors(silentTelemetry()),
  });
}

async function called(services: MemoryServices, rpc: string): Promise<void> {
  services.calls.set(rpc, (services.calls.get(rpc) ?? 0) + 1);
  await services.hold(rpc);
}

function directoryRoutes(services: MemoryServices): Route[] {
  const { mint, revokedDevices, hiddenUsers, chat } = services;
  return [
    partialRoute(DirectoryService, {
      async getVerificationKeys() {
        await called(services, "GetVerificationKeys");
        return { jwksJson: mint.jwksJson(), issuer: mint.issuer };
      },
      async checkDevices({ deviceIds }) {
        await called(services, "CheckDevices");
        return { revokedDeviceIds: deviceIds.filter((id) => revokedDevices.has(id)) };
      },
      async filterVisiblePresence({ userIds }) {
        await called(services, "FilterVisiblePresence");
        return { visibleUserIds: userIds.filter((id) => !hiddenUsers.has(id)) };
      },
    }),
    partialRoute(AccountService, {
      signUp: ({ username }) => ({ user: { userId: "", username } }),
      signIn: () => {
        throw permissionDenied("BAD_CREDENTIALS", "No.", { username: "shown" });
      },
      getAccount: (_request, context) => {
        const { userId, deviceId } = requireDevice(context);
        return { user: { userId }, deviceId };
      },
      signOut: (_request, context) => {
        revokedDevices.add(requireDevice(context).deviceId);
        return {};
      },
    }),
    partialRoute(ConversationService, {
      async getConversation({ conversationId }, context) {
        await called(services, "GetConversation");
        const { userId } = requireDevice(context);
        const conversation = chat.conversations.get(conversationId);
        if (conversation?.memberships.has(userId) !== true) throw conversationNotFound();
        const encryptionMode = conversation.mode;
        return { conversation: create(ConversationSchema, { conversationId, encryptionMode }) };
      },
    }),
  ];
}

function messageRoutes(services: MemoryServices): Route[] {
  const { chat, receipts } = services;
  return [
    partialRoute(AppendService, {
      appendBatches: (requests) => serveAppends(requests, services),
    }),
    partialRoute(TimelineService, {
      async readRanges(request) {
        await called(services, "ReadRanges");
        return { slices: readRanges(chat, request) };
      },
    }),
    partialRoute(MessageService, {
      async sendMessage({ conversationId, clientMessageId, body }, context) {
        const { userId } = requireDevice(context);
        if (!chat.isMember(conversationId, userId)) throw conversationNotFound();
        const payload = body.case === "payload" ? body.value : new Uint8Array();
        const appended = chat.append({
          conversationId,
          senderUserId: userId,
          clientMessageId,
          payload,
        });
        const { seq, messageId } = appended.entry;
        return { seq: BigInt(seq), messageId, duplicate: appended.duplicate };
      },
      listMessages({ conversationId }, context) {
        const { userId } = requireDevice(context);
        if (!chat.isMember(conversationId, userId)) throw conversationNotFound();
        const { entries } = chat.get(conversationId);
        return {
          messages: entries.map(messageOf),
          lastSeq: BigInt(entries.length),
        };
      },
      updateReceipt({ conversationId, readSeq }, context) {
        const { userId } = requireDevice(context);
        receipts.push({ userId, conversationId, readSeq });
        return { receipt: { conversationId, userId, readSeq } };
      },
    }),
    partialRoute(ParkedRecordService, { listParkedRecords: () => ({ records: [] }) }),
  ];
}

function fanoutRoutes(services: MemoryServices): Route[] {
  const { chat, typing } = services;
  return [
    partialRoute(FanoutService, {
      async listInboxHeads({ userId, pageSize, pageToken }) {
        await called(services, "ListInboxHeads");
        const heads = chat.heads(userId).filter((head) => head.conversationId > pageToken);
        const size = pageSize || 500;
        const page = heads.slice(0, size);
        const nextPageToken = heads.length > size ? (page.at(-1)?.conversationId ?? "") : "";
        return {
          heads: page.map((head) => ({
            ...head,
            lastSeq: BigInt(head.lastSeq),
            firstSeq: BigInt(head.firstSeq),
          })),
          nextPageToken,
        };
      },
      dispatchEphemeral({ event }) {
        const decoded = fromBinary(EventSchema, event).event;
        if (decoded.case === "typing") typing.push(decoded.value);
        return {};
      },
    }),
    partialRoute(InboxService, {
      listInbox: (_request, context) => {
        const { userId } = requireDevice(context);
        const entries = chat.heads(userId).map(({ conversationId, lastSeq }) => {
          const entry = chat.get(conversationId).entries[lastSeq - 1];
          return {
            conversationId,
            lastSeq: BigInt(lastSeq),
            ...(entry === undefined ? {} : { lastMessage: messageOf(entry) }),
          };
        });
        return { entries };
      },
    }),
  ];
}

function serveAppends(requests: AsyncIterable<AppendBatchesRequest>, services: MemoryServices) {
  return serveBatchStream(requests, {
    unwrap: ({ items }: AppendBatchesRequest) =>
      items.map((item) => ({ correlationId: item.correlationId, item })),
    handleItem: (item: AppendItem) => append(item, services),
    wrap: (outcomes: readonly BatchOutcome<ReturnType<typeof acceptedOf>>[]) => ({
      results: outcomes.map((outcome) =>
        create(AppendResultSchema, {
          correlationId: outcome.correlationId,
          outcome: outcome.ok
            ? { case: "accepted", value: outcome.result }
            : { case: "refused", value: toRefusalFields(outcome.error) },
        }),
      ),
    }),
  });
}

function append(item: AppendItem, { chat, hold }: MemoryServices) {
  const { conversationId, traceParent } = item;
  if (item.item.case !== "message") throw new Error("only messages are appended here");
  const message = item.item.value;
  const { senderUserId } = message;
  if (!chat.conversations.has(conversationId)) throw conversationNotFound();
  if (!chat.isMember(conversationId, senderUserId)) {
    throw permissionDenied("NOT_A_MEMBER", "No member of the conversation any more.");
  }
  const appended = chat.append({ ...message, conversationId, traceParent });
  const accepted = acceptedOf(appended);
  const held = hold("AppendBatches");
  return held === undefined ? accepted : held.then(() => accepted);
}

function acceptedOf({ entry, duplicate }: { entry: ChatEntry; duplicate: boolean }) {
  const { seq, messageId, acceptTimeMs } = entry;
  return { seq: BigInt(seq), messageId, acceptTimeMs: BigInt(acceptTimeMs), duplicate };
}

function messageOf(entry: ChatEntry) {
  const { event } = fromBinary(EventSchema, entry.event);
  if (event.case !== "message") throw new Error("not a message");
  return { ...event.value, acceptTime: timestampFromMs(entry.acceptTimeMs) };
}

const conversationNotFound = () =>
  notFound("CONVERSATION_NOT_FOUND", "There is no such conversation.");

/** What the service's tests share: the service on a real log and a real store, and a fan-out that keeps what it gets. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, createContextValues, type Transport } from "@connectrpc/connect";
import {
  ConversationChangeSchema,
  ConversationKind,
  EncryptionMode,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import {
  type FanoutBatch,
  FanoutBatchSchema,
} from "@parley/gen/parley/internal/fanout/v1/fanout_record_pb";
import {
  type DispatchBatchesRequest,
  type DispatchBatchesResponse,
  DispatchBatchesResponseSchema,
  type DispatchItem,
  type DispatchReceiptRequest,
  FanoutService,
} from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import {
  type AppendAccepted,
  type AppendBatchesRequest,
  AppendBatchesRequestSchema,
  type AppendBatchesResponse,
  type AppendItem,
  AppendItemSchema,
  AppendService,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import { TimelineService } from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { MessageService } from "@parley/gen/parley/message/v1/message_service_pb";
import { ParkedRecordService } from "@parley/gen/parley/ops/v1/parked_record_service_pb";
import { fromRefusalFields } from "@parley/platform/errors";
import { createHealth } from "@parley/platform/health";
import { newUuid } from "@parley/platform/ids";
import type { SegmentLogTuning } from "@parley/platform/log/embedded/options";
import { createSegmentLog } from "@parley/platform/log/embedded/segment-log";
import type { Log } from "@parley/platform/log/port";
import { createBatchStreamClient, serveBatchStream } from "@parley/platform/rpc/batch-stream";
import { type Caller, callerKey } from "@parley/platform/rpc/caller";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { standardInterceptors } from "@parley/platform/rpc/interceptors/standard";
import { defineRoute } from "@parley/platform/rpc/route";
import { silentTelemetry, type Telemetry } from "@parley/platform/telemetry/telemetry";
import { type MessageConfig, toMessageConfig } from "../config.ts";
import { FANOUT_TOPIC } from "../dispatcher.ts";
import { createMessageService, type MessageService as Service } from "../service.ts";

/** A fan-out that answers, and keeps what it was given. */
export type TestFanout = {
  readonly batches: FanoutBatch[];
  readonly receipts: DispatchReceiptRequest[];
  /** Called for each batch before it is kept; a rejection leaves it unanswered by breaking the stream. */
  gate: ((batch: FanoutBatch) => Promise<void> | void) | undefined;
  /** Thrown by DispatchReceipt, if set. */
  receiptError: Error | undefined;
  readonly transport: Transport;
};

export function createTestFanout(telemetry: Telemetry): TestFanout {
  const fanout: Omit<TestFanout, "transport"> = {
    batches: [],
    receipts: [],
    gate: undefined,
    receiptError: undefined,
  };
  const take = async ({ batch }: DispatchItem): Promise<void> => {
    if (batch === undefined) throw new Error("an item without a batch");
    await fanout.gate?.(batch);
    fanout.batches.push(batch);
  };
  const unused = () => {
    throw new Error("not used here");
  };
  const route = defineRoute(FanoutService, {
    dispatchBatches: (requests: AsyncIterable<DispatchBatchesRequest>) =>
      serveBatchStream<DispatchItem, void, DispatchBatchesRequest, DispatchBatchesResponse>(
        requests,
        {
          unwrap: ({ items }) => items.map((item) => ({ correlationId: item.correlationId, item })),
          handleItem: take,
          wrap: (outcomes) => {
            const failed = outcomes.find((outcome) => !outcome.ok);
            if (failed !== undefined && !failed.ok) throw failed.error;
            const correlationIds = outcomes.map(({ correlationId }) => correlationId);
            return create(DispatchBatchesResponseSchema, { correlationIds });
          },
        },
      ),
    dispatchReceipt: (request: DispatchReceiptRequest) => {
      if (fanout.receiptError !== undefined) throw fanout.receiptError;
      fanout.receipts.push(request);
      return {};
    },
    dispatchEphemeral: unused,
    dispatchToUsers: unused,
    revokeSessions: unused,
    listInboxHeads: unused,
  });
  const transport = createInProcessTransport({
    routes: [route],
    interceptors: standardInterceptors(telemetry),
    asCaller: { kind: "internal", service: "message" },
  });
  return Object.assign(fanout, { transport });
}

/** A directory that knows who hides read receipts. */
export function createTestDirectory(hiding: ReadonlySet<string>): Transport {
  const unused = () => {
    throw new Error("not used here");
  };
  const route = defineRoute(DirectoryService, {
    getReceiptSettings: ({ userIds }) => ({
      hidingUserIds: userIds.filter((userId) => hiding.has(userId)),
    }),
    getVerificationKeys: unused,
    checkDevices: unused,
    filterVisiblePresence: unused,
  });
  return createInProcessTransport({
    routes: [route],
    interceptors: [],
    asCaller: { kind: "internal", service: "message" },
  });
}

export type MessageWorldOptions = {
  /** Where partitions are announced, with `config.advertisedAddress`. */
  readonly presence?: Transport;
  /** Kept when the world ends, to open it again; default a new one that is removed. */
  readonly directory?: string;
  readonly config?: Partial<MessageConfig>;
  readonly log?: Partial<SegmentLogTuning> & { readonly partitionCount?: number };
  readonly telemetry?: Telemetry;
  /** Leaves `start` to the test. */
  readonly stopped?: boolean;
};

export type MessageWorld = AsyncDisposable & Awaited<ReturnType<typeof openMessageWorld>>;

/** Opens a world in a directory. Everything in it is real but fan-out and the directory. */
export async function openMessageWorld(options: MessageWorldOptions = {}) {
  await using resources = new AsyncDisposableStack();
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "parley-message-"));
  if (options.directory === undefined) {
    resources.defer(() => rmSync(directory, { recursive: true, force: true }));
  }
  const telemetry = options.telemetry ?? resources.use(silentTelemetry());
  const log: Log = resources.use(
    await createSegmentLog({
      partitionCount: 4,
      onProblem: () => undefined,
      retryPauseMinMs: 1,
      retryPauseMaxMs: 5,
      ...options.log,
      directory: join(directory, "log"),
    }),
  );
  const fanout = createTestFanout(telemetry);
  const hiding = new Set<string>();
  const health = createHealth();
  const service: Service = resources.use(
    await createMessageService(
      {
        ...toMessageConfig({ dataDirectory: directory, workingDirectory: directory }),
        ...options.config,
      },
      {
        telemetry,
        log,
        health,
        transports: {
          fanout: fanout.transport,
          directory: createTestDirectory(hiding),
          presence: options.presence ?? createInProcessTransport({ routes: [], interceptors: [] }),
        },
      },
    ),
  );
  if (options.stopped !== true) await service.start();
  const transport = createInProcessTransport({
    routes: service.routes,
    interceptors: standardInterceptors(telemetry),
    asCaller: { kind: "internal", service: "test" },
  });
  const appends = resources.use(createAppends(transport));
  const owned = resources.move();
  return {
    directory,
    log,
    fanout,
    hiding,
    health,
    service,
    telemetry,
    /** One item of AppendBatches. */
    append: (item: AppendItem) => appends.call(item),
    messages: createClient(MessageService, transport),
    timeline: createClient(TimelineService, transport),
    parked: createClient(ParkedRecordService, transport),
    /** What topic `fanout` holds of all partitions, in order within each. */
    groupBatches: () => readFanoutTopic(log),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function createAppends(transport: Transport) {
  const client = createClient(AppendService, transport);
  return createBatchStreamClient<
    AppendItem,
    AppendAccepted,
    AppendBatchesRequest,
    AppendBatchesResponse
  >({
    name: "AppendBatches",
    open: (batches, signal) => client.appendBatches(batches, { signal }),
    wrap: (items) =>
      create(AppendBatchesRequestSchema, {
        items: items.map(({ correlationId, item }) => ({ ...item, correlationId })),
      }),
    unwrap: ({ results }) =>
      results.map(({ correlationId, outcome }) => {
        if (outcome.case === "accepted") return { correlationId, ok: true, result: outcome.value };
        if (outcome.case === undefined) throw new Error("an answer without outcome");
        return { correlationId, ok: false, error: fromRefusalFields(outcome.value) };
      }),
  });
}

async function readFanoutTopic(log: Log): Promise<FanoutBatch[]> {
  const found: FanoutBatch[] = [];
  let missing = 0;
  for (let partition = 0; partition < log.identity.partitionCount; partition++) {
    const { startOffset, endOffset } = await log.range(FANOUT_TOPIC, partition);
    missing += endOffset - startOffset;
  }
  if (missing === 0) return found;
  const complete = Promise.withResolvers<void>();
  await using _consumer = await log.consume({
    topic: FANOUT_TOPIC,
    group: newUuid(),
    onBatch: async ({ records }) => {
      found.push(...records.map(({ value }) => fromBinary(FanoutBatchSchema, value)));
      missing -= records.length;
      if (missing <= 0) complete.resolve();
    },
  });
  await complete.promise;
  return found;
}

/** Call options that make the caller a device of a person. */
export function asDevice(userId: string, deviceId = `${userId.slice(0, 35)}d`) {
  const caller: Caller = {
    kind: "device",
    userId,
    deviceId,
    expireTimeMs: Number.MAX_SAFE_INTEGER,
  };
  return { contextValues: createContextValues().set(callerKey, caller) };
}

export function asOperator() {
  return { contextValues: createContextValues().set(callerKey, { kind: "operator" } as Caller) };
}

/** A message of a person, as the gateway hands it over. */
export function messageItem(
  conversationId: string,
  senderUserId: string,
  options: {
    readonly clientMessageId?: string;
    readonly deviceId?: string;
    readonly text?: string;
    readonly payload?: Uint8Array;
    readonly silent?: boolean;
    readonly sessionId?: string;
    readonly traceParent?: string;
  } = {},
): AppendItem {
  return create(AppendItemSchema, {
    conversationId,
    traceParent: options.traceParent ?? "",
    item: {
      case: "message",
      value: {
        senderUserId,
        senderDeviceId: options.deviceId ?? `${senderUserId.slice(0, 35)}d`,
        clientMessageId: options.clientMessageId ?? newUuid(),
        payload: options.payload ?? new TextEncoder().encode(options.text ?? "hello"),
        clientTimeMs: 1_760_000_000_000n,
        silent: options.silent ?? false,
        originSessionId: options.sessionId ?? "",
      },
    },
  });
}

/** A change of a conversation, as the directory's relay hands it over. */
export function changeItem(
  conversationId: string,
  membershipVersion: number,
  actorUserId: string,
  change: MessageInitShape<typeof ConversationChangeSchema>["change"],
): AppendItem {
  return create(AppendItemSchema, {
    conversationId,
    item: {
      case: "change",
      value: {
        change: create(ConversationChangeSchema, {
          membershipVersion: BigInt(membershipVersion),
          actorUserId,
          ...(change === undefined ? {} : { change }),
        }),
      },
    },
  });
}

/** The `created` of a conversation; of two people if `kind` does not say otherwise. */
export function createdItem(
  conversationId: string,
  userIds: readonly string[],
  kind: ConversationKind = ConversationKind.DIRECT,
  encryptionMode: EncryptionMode = EncryptionMode.SERVER_READABLE,
): AppendItem {
  return changeItem(conversationId, 1, userIds[0] ?? "", {
    case: "created",
    value: {
      kind,
      encryptionMode,
      title: kind === ConversationKind.GROUP ? "The group" : "",
      members: userIds.map((userId, at) => ({
        userId,
        role: at === 0 ? Role.OWNER : Role.MEMBER,
      })),
    },
  });
}

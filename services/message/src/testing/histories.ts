/** Random histories: what a log could hold, made to meet the rules where they matter. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ConversationChangeSchema,
  ConversationKind,
  EncryptionMode,
  Role,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { MessageSubmittedSchema } from "@parley/gen/parley/internal/message/v1/log_record_pb";
import type { LogRecord } from "@parley/platform/log/port";
import fc from "fast-check";
import type { DedupeKey } from "../domain/dedupe.ts";
import { MESSAGE_ID_EPOCH_MS } from "../domain/message-id.ts";
import { encodeRecord } from "../domain/record.ts";

export const PARTITIONS = 2;

/** Conversations 0 and 2 are in partition 0, conversation 1 in partition 1. Conversation 2 is direct. */
export const CONVERSATIONS = [0, 1, 2].map(
  (at) => `00000000-0000-7000-8000-00000000000${at}`,
) as readonly string[];
export const USERS: readonly string[] = ["ann", "ben", "cem"];
const DEVICES = ["d1", "d2"];
const CLIENT_IDS = ["m1", "m2", "m3"];

/** What one record is, in a form that shrinks well. */
export type RecordSpec = {
  readonly conversation: number;
  /** Of the log's clock since the record before; may be negative. */
  readonly elapsedMs: number;
} & (
  | {
      readonly kind: "message";
      readonly user: number;
      readonly device: number;
      readonly clientId: number;
      readonly payloadBytes: number;
      readonly payloadBytesMax: number;
      readonly windowMs: number;
      readonly silent: boolean;
    }
  | {
      readonly kind: "change";
      readonly what: "add" | "remove" | "leave" | "join" | "title" | "permission";
      readonly user: number;
      readonly actor: number;
      readonly allow: boolean;
      /** 0 for the version that follows; others are late or early. */
      readonly versionError: number;
    }
  | { readonly kind: "poison"; readonly bytes: number }
);

const elapsedMs = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 20 }) },
  { weight: 1, arbitrary: fc.integer({ min: -400, max: -1 }) },
  { weight: 1, arbitrary: fc.integer({ min: 100, max: 600 }) },
);

const message = fc.record({
  kind: fc.constant("message" as const),
  conversation: fc.nat({ max: 2 }),
  elapsedMs,
  user: fc.nat({ max: 2 }),
  device: fc.nat({ max: 1 }),
  clientId: fc.nat({ max: 2 }),
  payloadBytes: fc.integer({ min: 0, max: 8 }),
  payloadBytesMax: fc.constantFrom(3, 6, 8, 8),
  windowMs: fc.constantFrom(30, 200, 200),
  silent: fc.boolean(),
});

const change = fc.record({
  kind: fc.constant("change" as const),
  conversation: fc.nat({ max: 2 }),
  elapsedMs,
  what: fc.constantFrom("add", "remove", "leave", "join", "title", "permission"),
  user: fc.nat({ max: 2 }),
  actor: fc.nat({ max: 2 }),
  allow: fc.boolean(),
  versionError: fc.constantFrom(0, 0, 0, 0, 0, -1, 1),
});

const poison = fc.record({
  kind: fc.constant("poison" as const),
  conversation: fc.nat({ max: 1 }),
  elapsedMs,
  bytes: fc.nat({ max: 4 }),
});

export type History = {
  readonly specs: readonly RecordSpec[];
  /** Decides everything that happens to the instances. */
  readonly chaosSeed: number;
};

export const historyArbitrary: fc.Arbitrary<History> = fc.record({
  specs: fc.array(
    fc.oneof(
      { weight: 7, arbitrary: message as fc.Arbitrary<RecordSpec> },
      { weight: 4, arbitrary: change as fc.Arbitrary<RecordSpec> },
      { weight: 1, arbitrary: poison as fc.Arbitrary<RecordSpec> },
    ),
    { minLength: 4, maxLength: 40 },
  ),
  chaosSeed: fc.integer(),
});

export function partitionOfConversation(conversation: number): number {
  return conversation % PARTITIONS;
}

/** The records of a history by partition, each conversation begun first, and the dedupe keys in it. */
export function toRecords(specs: readonly RecordSpec[]): {
  readonly records: readonly (readonly LogRecord[])[];
  readonly keys: readonly DedupeKey[];
} {
  const records: LogRecord[][] = Array.from({ length: PARTITIONS }, () => []);
  const versions = CONVERSATIONS.map(() => 1);
  const keys = new Map<string, DedupeKey>();
  let appendTimeMs = MESSAGE_ID_EPOCH_MS + 100_000;
  const append = (partition: number, value: Uint8Array) => {
    const line = records[partition] ?? [];
    const offset = line.length;
    line.push({ topic: "messages", partition, offset, appendTimeMs, value });
  };
  // The first conversation is begun at once, the others where they first appear: before that, they are unknown.
  append(0, createdRecord(0));
  const begun = new Set([0]);
  for (const spec of specs) {
    appendTimeMs += spec.elapsedMs;
    const partition = partitionOfConversation(spec.conversation);
    if (spec.kind === "poison") {
      append(partition, new Uint8Array(spec.bytes).fill(255));
      continue;
    }
    append(partition, encodeSpec(spec, versions, keys));
    if (!begun.has(spec.conversation)) {
      begun.add(spec.conversation);
      append(partition, createdRecord(spec.conversation));
    }
  }
  return { records, keys: [...keys.values()] };
}

function conversationId(conversation: number): string {
  return CONVERSATIONS[conversation] ?? "";
}

function createdRecord(conversation: number): Uint8Array {
  const direct = conversation === 2;
  const members = USERS.slice(0, 2);
  return encodeRecord({
    kind: "change",
    conversationId: conversationId(conversation),
    traceParent: "",
    change: create(ConversationChangeSchema, {
      membershipVersion: 1n,
      actorUserId: members[0] ?? "",
      change: {
        case: "created",
        value: {
          kind: direct ? ConversationKind.DIRECT : ConversationKind.GROUP,
          encryptionMode: EncryptionMode.SERVER_READABLE,
          members: members.map((userId) => ({ userId, role: Role.MEMBER })),
        },
      },
    }),
  });
}

function encodeSpec(
  spec: Exclude<RecordSpec, { kind: "poison" }>,
  versions: number[],
  keys: Map<string, DedupeKey>,
): Uint8Array {
  const id = conversationId(spec.conversation);
  const userId = USERS[spec.user] ?? "";
  if (spec.kind === "message") {
    const deviceId = DEVICES[spec.device] ?? "";
    const clientMessageId = CLIENT_IDS[spec.clientId] ?? "";
    const key = { conversationId: id, userId, deviceId, clientMessageId };
    keys.set(JSON.stringify(key), key);
    const value = create(MessageSubmittedSchema, {
      senderUserId: userId,
      senderDeviceId: deviceId,
      clientMessageId,
      payload: new Uint8Array(spec.payloadBytes).fill(spec.clientId + 65),
      silent: spec.silent,
      payloadBytesMax: spec.payloadBytesMax,
      dedupeWindowMs: BigInt(spec.windowMs),
    });
    return encodeRecord({ kind: "message", conversationId: id, traceParent: "", message: value });
  }
  const last = versions[spec.conversation] ?? 1;
  const version = Math.max(1, last + 1 + spec.versionError);
  if (spec.versionError === 0) versions[spec.conversation] = version;
  return encodeRecord({
    kind: "change",
    conversationId: id,
    traceParent: "",
    change: create(ConversationChangeSchema, {
      membershipVersion: BigInt(version),
      actorUserId: USERS[spec.actor] ?? "",
      change: bodyOf(spec, userId),
    }),
  });
}

type Body = NonNullable<MessageInitShape<typeof ConversationChangeSchema>["change"]>;

function bodyOf(spec: Extract<RecordSpec, { kind: "change" }>, userId: string): Body {
  switch (spec.what) {
    case "add":
      return { case: "membersAdded", value: { userIds: [userId] } };
    case "remove":
      return { case: "memberRemoved", value: { userId } };
    case "leave":
      return { case: "memberLeft", value: {} };
    case "join":
      return { case: "memberJoined", value: {} };
    case "title":
      return { case: "titleChanged", value: { title: "t" } };
    case "permission":
      return {
        case: "sendPermissionChanged",
        value: { userId, maySend: spec.allow },
      };
  }
}

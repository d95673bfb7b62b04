import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  ConversationChangeSchema,
  ConversationKind,
  EncryptionMode,
} from "@parley/gen/parley/conversation/v1/conversation_pb";
import { MessageSubmittedSchema } from "@parley/gen/parley/internal/message/v1/log_record_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { type Applied, applyRecord, type KnownAboutRecord } from "./applier.ts";
import type { ConversationState } from "./conversation.ts";
import type { ApplicableRecord } from "./record.ts";

const conversationId = "01990000-0000-7000-8000-000000000001";
const TIME_MS = 1_760_000_000_000;

function apply(
  state: ConversationState | undefined,
  record: ApplicableRecord,
  offset: number,
  known: KnownAboutRecord = {},
): Applied {
  const position = { partition: 7, offset, appendTimeMs: TIME_MS + offset };
  return applyRecord({ state, record, position, known });
}

function message(changed: MessageInitShape<typeof MessageSubmittedSchema> = {}): ApplicableRecord {
  const submitted = create(MessageSubmittedSchema, {
    senderUserId: "ann",
    senderDeviceId: "phone",
    clientMessageId: "m",
    payload: new Uint8Array([1, 2, 3]),
    clientTimeMs: 5n,
    payloadBytesMax: 10,
    dedupeWindowMs: 1000n,
    ...changed,
  });
  return { kind: "message", conversationId, traceParent: "", message: submitted };
}

function change(
  membershipVersion: number,
  body: NonNullable<MessageInitShape<typeof ConversationChangeSchema>["change"]>,
): ApplicableRecord {
  const made = create(ConversationChangeSchema, {
    membershipVersion: BigInt(membershipVersion),
    actorUserId: "ann",
    change: body,
  });
  return { kind: "change", conversationId, traceParent: "", change: made };
}

const created = change(1, {
  case: "created",
  value: {
    kind: ConversationKind.GROUP,
    encryptionMode: EncryptionMode.SERVER_READABLE,
    members: [{ userId: "ann" }, { userId: "ben" }],
  },
});

function begun(): ConversationState {
  const { state } = apply(undefined, created, 0);
  assert.ok(state !== undefined);
  return state;
}

function eventOf(applied: Applied) {
  assert.equal(applied.kind, "accepted");
  const row = applied.kind === "accepted" ? applied.row : undefined;
  const { event } = fromBinary(EventSchema, row?.event ?? new Uint8Array());
  assert.equal(event.case, "message");
  if (event.case !== "message") throw new Error("no message");
  return event.value;
}

function refusal(applied: Applied): string {
  assert.equal(applied.kind, "refused");
  return applied.kind === "refused" ? applied.reason : "";
}

describe("applyRecord", () => {
  it("begins a conversation with its first entry", () => {
    const state = begun();
    assert.equal(state.lastSeq, 1);
    assert.equal(state.membershipVersion, 1);
    assert.equal(state.unreadOrdinal, 0);
    assert.deepEqual([...state.members.keys()], ["ann", "ben"]);
  });

  it("makes an entry of a message, with everything in its event", () => {
    const applied = apply(begun(), message({ silent: false }), 3);
    const event = eventOf(applied);
    assert.equal(event.conversationId, conversationId);
    assert.equal(event.seq, 2n);
    assert.equal(event.messageId, applied.state?.lastMessageId);
    assert.equal(event.senderUserId, "ann");
    assert.equal(event.senderDeviceId, "phone");
    assert.equal(event.clientMessageId, "m");
    assert.equal(event.acceptTime && timestampMs(event.acceptTime), TIME_MS + 3);
    assert.equal(event.clientTime && timestampMs(event.clientTime), 5);
    assert.equal(event.unreadOrdinal, 1n);
    assert.equal(event.membershipVersion, 1n);
    assert.deepEqual(event.body, { case: "payload", value: new Uint8Array([1, 2, 3]) });
    assert.equal(applied.state?.lastProcessedOffset, 3);
  });

  it("gives the same bytes for the same record and state", () => {
    const bytes = () => {
      const applied = apply(begun(), message(), 3);
      return applied.kind === "accepted" ? applied.row?.event : undefined;
    };
    assert.deepEqual(bytes(), bytes());
  });

  it("counts what is not silent, and no change", () => {
    let state = begun();
    const ordinals: (number | undefined)[] = [];
    const records = [
      message({ clientMessageId: "1" }),
      message({ clientMessageId: "2", silent: true }),
      change(2, { case: "titleChanged", value: { title: "t" } }),
      message({ clientMessageId: "3" }),
    ];
    for (const [at, record] of records.entries()) {
      const applied = apply(state, record, at + 1);
      state = applied.state ?? state;
      if (applied.kind === "accepted") ordinals.push(applied.row?.unreadOrdinal);
    }
    assert.deepEqual(ordinals, [1, 1, 1, 2]);
    assert.equal(state.lastSeq, 5);
  });

  it("refuses by the record and the state alone", () => {
    const state = begun();
    assert.equal(refusal(apply(undefined, message(), 1)), "CONVERSATION_NOT_FOUND");
    assert.equal(refusal(apply(state, message({ senderUserId: "cem" }), 1)), "NOT_A_MEMBER");
    const large = message({ payload: new Uint8Array(11) });
    assert.equal(refusal(apply(state, large, 1)), "PAYLOAD_TOO_LARGE");
    const blocked = apply(
      state,
      change(2, { case: "sendPermissionChanged", value: { userId: "ann", maySend: false } }),
      1,
    );
    assert.equal(blocked.kind === "accepted" && blocked.row, undefined, "it takes no place");
    assert.equal(blocked.state?.lastSeq, 1);
    assert.equal(refusal(apply(blocked.state, message(), 2)), "CANNOT_SEND");
  });

  it("counts what it refuses as processed, and gives it no place", () => {
    const refused = apply(begun(), message({ senderUserId: "cem" }), 8);
    assert.equal(refused.state?.lastProcessedOffset, 8);
    assert.equal(refused.state?.lastSeq, 1);
    const unknown = apply(undefined, message(), 8);
    assert.equal(unknown.state, undefined, "nothing is kept of a conversation that there is not");
  });

  it("recognises a repetition before anything else", () => {
    const first = apply(begun(), message(), 1);
    assert.ok(first.kind === "accepted" && first.dedupe !== undefined);
    const { dedupe } = first;
    const left = apply(first.state, change(2, { case: "memberLeft", value: {} }), 2);
    const again = apply(left.state, message(), 3, { dedupe });
    assert.ok(again.kind === "duplicate");
    assert.equal(again.first.seq, 2);
    assert.equal(again.state.lastProcessedOffset, 3);
    const later = apply(left.state, message(), 1500, { dedupe });
    assert.equal(refusal(later), "NOT_A_MEMBER", "after the window it is a new message");
  });

  it("takes the next version, and no other", () => {
    const state = begun();
    const title = { case: "titleChanged", value: { title: "t" } } as const;
    assert.equal(refusal(apply(state, change(3, title), 1)), "CHANGE_OUT_OF_ORDER");
    assert.equal(apply(state, change(1, title), 1).kind, "duplicate-change");
    assert.equal(apply(state, created, 1).kind, "duplicate-change");
    assert.equal(apply(state, change(2, title), 1).state?.membershipVersion, 2);
    assert.equal(refusal(apply(undefined, change(2, title), 1)), "CHANGE_OUT_OF_ORDER");
    const lateCreated = change(2, {
      case: "created",
      value: { kind: ConversationKind.GROUP, members: [{ userId: "ann" }] },
    });
    assert.equal(refusal(apply(undefined, lateCreated, 1)), "CHANGE_OUT_OF_ORDER");
  });

  it("tells another permission of the same version from a repetition, as far as it can be told", () => {
    const permit = (version: number, userId: string, maySend: boolean) =>
      change(version, { case: "sendPermissionChanged", value: { userId, maySend } });
    const blocked = apply(begun(), permit(2, "ann", false), 1).state;
    assert.equal(apply(blocked, permit(2, "ann", false), 2).kind, "duplicate-change");
    const other = apply(blocked, permit(2, "ann", true), 2);
    assert.equal(refusal(other), "CHANGE_CONFLICT");
    assert.equal(refusal(apply(blocked, permit(2, "ben", false), 2)), "CHANGE_CONFLICT");
    // The state is that after a repetition, byte for byte: the rules have the same version for both.
    assert.deepEqual(other.state, apply(blocked, permit(2, "ann", false), 2).state);
    assert.equal(apply(blocked, permit(2, "nobody", false), 2).kind, "duplicate-change");
    const freed = apply(blocked, permit(3, "ann", true), 2).state;
    assert.equal(apply(freed, permit(2, "ann", false), 3).kind, "duplicate-change", "hidden since");
    const again = apply(other.state, permit(2, "ann", true), 2);
    assert.equal(again.kind, "processed", "the same record again is not judged again");
  });

  it("numbers nothing again that it has processed", () => {
    const first = apply(begun(), message(), 1);
    const row = first.kind === "accepted" ? first.row : undefined;
    const again = apply(first.state, message(), 1, { row });
    assert.ok(again.kind === "processed");
    assert.equal(again.row, row);
    assert.equal(again.state, first.state);
  });

  it("does not believe a client's time that no calendar has", () => {
    for (const clientTimeMs of [0n, -1n, 253_402_300_800_000n]) {
      const { clientTime } = eventOf(apply(begun(), message({ clientTimeMs }), 1));
      assert.equal(clientTime && timestampMs(clientTime), TIME_MS + 1);
    }
    const { clientTime } = eventOf(
      apply(begun(), message({ clientTimeMs: 253_402_300_799_999n }), 1),
    );
    assert.equal(clientTime && timestampMs(clientTime), 253_402_300_799_999);
  });
});

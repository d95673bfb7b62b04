import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ConversationChangeSchema } from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  ConversationRecordSchema,
  MessageSubmittedSchema,
} from "@parley/gen/parley/internal/message/v1/log_record_pb";
import { decodeRecord, encodeRecord, isConversationId } from "./record.ts";

const conversationId = "01990000-0000-7000-8000-000000000001";
const message = create(MessageSubmittedSchema, {
  senderUserId: "ann",
  senderDeviceId: "phone",
  clientMessageId: "m",
  payload: new Uint8Array([1]),
});

function decoded(record: MessageInitShape<typeof ConversationRecordSchema>) {
  const complete = create(ConversationRecordSchema, {
    rulesVersion: 1,
    conversationId,
    record: { case: "message", value: message },
    ...record,
  });
  return decodeRecord(toBinary(ConversationRecordSchema, complete));
}

describe("decodeRecord", () => {
  it("gives back what was encoded", () => {
    const record = { kind: "message", conversationId, traceParent: "00-a", message } as const;
    assert.deepEqual(decodeRecord(encodeRecord(record)), record);
    const change = create(ConversationChangeSchema, {
      membershipVersion: 2n,
      actorUserId: "ann",
      change: { case: "titleChanged", value: { title: "t" } },
    });
    const second = { kind: "change", conversationId, traceParent: "", change } as const;
    assert.deepEqual(decodeRecord(encodeRecord(second)), second);
  });

  it("stops at newer rules before it judges anything else", () => {
    assert.deepEqual(decoded({ rulesVersion: 2, conversationId: "?" }), {
      kind: "newer",
      rulesVersion: 2,
    });
  });

  it("finds poison, whatever is wrong", () => {
    const change = (value: MessageInitShape<typeof ConversationChangeSchema>) =>
      decoded({ record: { case: "change", value: { change: value } } });
    const sender = (senderUserId: string) =>
      decoded({ record: { case: "message", value: { ...message, senderUserId } } });
    const broken = [
      decodeRecord(new Uint8Array([255])),
      decodeRecord(new Uint8Array()),
      decoded({ rulesVersion: 0 }),
      decoded({ conversationId: "home" }),
      decoded({ conversationId: conversationId.toUpperCase().replace("1", "A") }),
      decoded({ record: { case: undefined } }),
      decoded({ record: { case: "change", value: {} } }),
      change({ membershipVersion: 1n }),
      change({ membershipVersion: 0n, change: { case: "titleChanged", value: {} } }),
      change({ membershipVersion: 2n ** 60n, change: { case: "titleChanged", value: {} } }),
      change({
        membershipVersion: 1n,
        change: { case: "created", value: { members: [{ userId: "" }] } },
      }),
      change({ membershipVersion: 1n, change: { case: "memberLeft", value: {} } }),
      sender(""),
      sender("x".repeat(129)),
      sender("a\nb"),
    ];
    for (const [at, record] of broken.entries()) {
      assert.equal(record.kind, "poison", `case ${at}`);
      assert.ok(record.kind === "poison" && record.reason.endsWith("."), `case ${at} says why`);
    }
    assert.equal(decoded({}).kind, "message", "and what is right is none");
  });
});

describe("isConversationId", () => {
  it("takes lower-case UUIDs", () => {
    assert.equal(isConversationId(conversationId), true);
    for (const text of ["", "x", `${conversationId} `, conversationId.replaceAll("-", "")]) {
      assert.equal(isConversationId(text), false, text);
    }
  });
});

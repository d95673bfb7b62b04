import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ConversationChangeSchema } from "@parley/gen/parley/conversation/v1/conversation_pb";
import { AppendAcceptedSchema } from "@parley/gen/parley/internal/message/v1/append_service_pb";
import {
  type ReadRangesRequest,
  TimelineService,
} from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import type { MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { reasonOf } from "@parley/platform/errors";
import { createInProcessTransport } from "@parley/platform/rpc/in-process-host";
import { defineRoute } from "@parley/platform/rpc/route";
import { createChangeCheck } from "./change-check.ts";
import { ChangeConflictError } from "./conversation-ports.ts";

type ChangeInit = MessageInitShape<typeof ConversationChangeSchema>["change"];
type Body = MessageInitShape<typeof MessageSchema>["body"];

const conversationId = "00000000-0000-4000-8000-000000000001";

const changeOf = (change: NonNullable<ChangeInit>, actorUserId = "ann") =>
  create(ConversationChangeSchema, { membershipVersion: 7n, actorUserId, change });

const removal = (userId: string, actorUserId = "ann") =>
  changeOf({ case: "memberRemoved", value: { userId } }, actorUserId);

/** Checks `change` against a timeline whose entry at 12 has this body; undefined if the person may not read it. */
function check(
  change: ReturnType<typeof changeOf>,
  body: Body | undefined,
  { seq = 12n, readThroughSeq = 12n } = {},
) {
  const requests: ReadRangesRequest[] = [];
  const transport = createInProcessTransport({
    interceptors: [],
    asCaller: { kind: "internal", service: "test" },
    routes: [
      defineRoute(TimelineService, {
        readRanges(request) {
          requests.push(request);
          if (body === undefined) return { slices: [{ conversationId, readThroughSeq }] };
          const event = create(EventSchema, { event: { case: "message", value: { body } } });
          const entries = [{ seq: 12n, event: toBinary(EventSchema, event) }];
          return { slices: [{ conversationId, readThroughSeq, entries }] };
        },
      }),
    ],
  });
  const entry = { conversationId, membershipVersion: 7, change, traceParent: "" };
  const accepted = create(AppendAcceptedSchema, { seq, duplicate: true });
  return { requests, done: createChangeCheck(transport)(entry, accepted) };
}

describe("the check of a change that had been applied before", () => {
  it("lets the very same change pass, read at its place by who made it", async () => {
    const { requests, done } = check(removal("bob"), { case: "change", value: removal("bob") });
    await done;
    assert.equal(requests[0]?.userId, "ann");
    const { afterSeq, lastSeq } = requests[0]?.ranges[0] ?? {};
    assert.deepEqual([afterSeq, lastSeq], [11n, 12n]);
  });

  for (const [name, body] of [
    ["another person's removal", { case: "change", value: removal("cid") }],
    ["a removal by somebody else", { case: "change", value: removal("bob", "cid") }],
    ["another change", { case: "change", value: changeOf({ case: "memberLeft", value: {} }) }],
    ["a message", { case: "payload", value: new Uint8Array([1]) }],
    ["an entry that who made the change may not read", undefined],
  ] as const) {
    it(`tells ${name} from it, and says what to do`, async () => {
      await assert.rejects(check(removal("bob"), body).done, (error) => {
        assert.ok(error instanceof ChangeConflictError);
        assert.match(error.message, /version 7 .*Restore all directories .* same backup/);
        return true;
      });
    });
  }

  it("knows that another one was applied when the timeline has none of that version", async () => {
    const { done, requests } = check(removal("bob"), undefined, { seq: 0n });
    await assert.rejects(done, ChangeConflictError);
    assert.equal(requests.length, 0);
  });

  it("asks again when the entry cannot be read yet", async () => {
    const { done } = check(removal("bob"), undefined, { readThroughSeq: 11n });
    await assert.rejects(done, (error) => reasonOf(error) === "CHANGE_NOT_READABLE");
  });

  it("takes a permission to write on trust, because it has no place", async () => {
    const permission = { case: "sendPermissionChanged", value: { userId: "bob" } } as const;
    const { done, requests } = check(changeOf(permission), undefined, { seq: 0n });
    await done;
    assert.equal(requests.length, 0);
  });
});

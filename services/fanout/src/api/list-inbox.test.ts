import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { InboxService } from "@parley/gen/parley/message/v1/inbox_service_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { reasonOf } from "@parley/platform/errors";
import { createTestConversation } from "../testing/test-entries.ts";
import { createTestService, type TestService } from "../testing/test-service.ts";

/** Groups of ann and bob with one message each; the later ones are newer. */
async function createGroups(parts: TestService, count: number, payloadBytes = 10) {
  const groups = Array.from({ length: count }, () => createTestConversation());
  for (const group of groups) {
    await parts.append(group.batch(group.created(["ann", "bob"]), group.message("bob")));
    putEvent(parts, group.conversationId, 2n, payloadBytes);
  }
  await parts.drainLog();
  return groups;
}

function putEvent({ timeline }: TestService, conversationId: string, seq: bigint, bytes: number) {
  const body = { case: "payload" as const, value: new Uint8Array(bytes) };
  const event = { case: "message" as const, value: { conversationId, seq, body } };
  const encoded = toBinary(EventSchema, create(EventSchema, { event }));
  timeline.events.set(`${conversationId} ${seq}`, encoded);
}

test("the newest comes first, with its entry, unread count and read position", async () => {
  await using parts = await createTestService();
  const [first, second] = await createGroups(parts, 2);
  assert.ok(first !== undefined && second !== undefined);
  const { entries, nextPageToken } = await parts.inboxOf("ann").listInbox({});
  assert.equal(nextPageToken, "");
  assert.deepEqual(
    entries.map(({ conversationId }) => conversationId),
    [second.conversationId, first.conversationId],
  );
  const [entry] = entries;
  assert.equal(entry?.lastSeq, 2n);
  assert.equal(entry?.lastMessage?.conversationId, second.conversationId);
  assert.equal(entry?.lastMessage?.seq, 2n);
  assert.equal(entry?.unreadCount, 1n);
  assert.equal(entry?.readSeq, 0n);
  assert.equal(entry?.member, true);
  assert.equal(entry?.firstSeq, 1n);
  const own = await parts.inboxOf("bob").listInbox({});
  assert.equal(own.entries[0]?.unreadCount, 0n, "own messages are read");
  assert.equal(own.entries[0]?.readSeq, 2n);
});

test("silent messages do not count, and what came after leaving is not there", async () => {
  await using parts = await createTestService();
  const group = createTestConversation();
  await parts.append(
    group.batch(
      group.created(["ann", "bob"]),
      group.message("bob"),
      group.message("bob", { silent: true }),
      group.left("ann"),
      group.message("bob"),
    ),
  );
  await parts.drainLog();
  const { entries } = await parts.inboxOf("ann").listInbox({});
  assert.equal(entries[0]?.unreadCount, 1n);
  assert.equal(entries[0]?.lastSeq, 4n);
  assert.equal(entries[0]?.member, false);
  assert.equal(entries[0]?.lastMessage, undefined, "an entry that cannot be read has no preview");
});

test("pages go through everything once", async () => {
  await using parts = await createTestService();
  const groups = await createGroups(parts, 7);
  const inbox = parts.inboxOf("ann");
  const seen: string[] = [];
  let pageToken = "";
  do {
    const page = await inbox.listInbox({ pageSize: 3, pageToken });
    seen.push(...page.entries.map(({ conversationId }) => conversationId));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  assert.deepEqual(seen, groups.map(({ conversationId }) => conversationId).toReversed());
});

test("large previews end a page early, and the next one continues there", async () => {
  await using parts = await createTestService();
  const groups = await createGroups(parts, 10, 300_000);
  parts.timeline.bytesPerAnswerMax = 1_048_576;
  const inbox = parts.inboxOf("ann");
  const first = await inbox.listInbox({});
  assert.ok(first.entries.length < 10 && first.entries.length >= 3);
  assert.ok(first.entries.every(({ lastMessage }) => lastMessage !== undefined));
  const seen = [...first.entries];
  for (let pageToken = first.nextPageToken; pageToken !== ""; ) {
    const page = await inbox.listInbox({ pageToken });
    seen.push(...page.entries);
    pageToken = page.nextPageToken;
  }
  assert.equal(seen.length, groups.length);
});

test("a page of 200 asks for at most 100 ranges at once", async () => {
  await using parts = await createTestService();
  await createGroups(parts, 201);
  const { entries } = await parts.inboxOf("ann").listInbox({ pageSize: 1000 });
  assert.equal(entries.length, 200);
  assert.deepEqual(
    parts.timeline.requests.map(({ ranges }) => ranges.length),
    [100, 100],
  );
  assert.equal(parts.timeline.requests[0]?.userId, "ann");
});

test("only devices list inboxes, and only with tokens from here", async () => {
  await using parts = await createTestService();
  await assert.rejects(createClient(InboxService, parts.transport).listInbox({}));
  await assert.rejects(
    parts.inboxOf("ann").listInbox({ pageToken: "nonsense" }),
    (error) => reasonOf(error) === "INVALID_FIELD",
  );
});

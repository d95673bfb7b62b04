import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Message, MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import { createDeferred } from "./async/deferred.ts";
import { encodeContent, textContent } from "./content/content.ts";
import { openConversationViewer } from "./conversation-viewer.ts";
import { createEmitter } from "./emitter.ts";
import type { ClientEvents } from "./events.ts";
import type { HistoryPage } from "./history.ts";

function entry(seq: number, text: string): Message {
  return create(MessageSchema, {
    conversationId: "c",
    seq: BigInt(seq),
    messageId: BigInt(seq),
    body: { case: "payload", value: encodeContent(textContent({ text })) },
  });
}

it("a view that is being read when its history turns out to be another shows the other", async () => {
  const emitter = createEmitter<ClientEvents>(assert.ifError);
  const pages: ReturnType<typeof createDeferred<HistoryPage>>[] = [];
  const asked: (bigint | undefined)[] = [];
  const history = ({ before }: { readonly before?: bigint | undefined }) => {
    const page = createDeferred<HistoryPage>();
    pages.push(page);
    asked.push(before);
    return page.promise;
  };
  const opening = openConversationViewer("c", {}, { emitter, history });
  pages[0]?.resolve({ entries: [entry(3, "c"), entry(4, "d")], more: true });
  const viewer = await opening;
  const older = viewer.loadOlder();
  emitter.emit("conversationReplaced", { conversationId: "other", keptSeq: 0n, entries: [] });
  emitter.emit("conversationReplaced", { conversationId: "c", keptSeq: 1n, entries: [] });
  assert.equal(viewer.view.messages.length, 0);
  pages[1]?.resolve({ entries: [entry(2, "b")], more: true });
  pages[2]?.resolve({ entries: [entry(1, "a"), entry(2, "B")], more: false });
  // Whoever waits for older entries waits for those that are there.
  await older;
  const texts = viewer.view.messages.map((message) => message.kind === "text" && message.text);
  assert.deepEqual(texts, ["a", "B"]);
  assert.deepEqual(asked, [undefined, 3n, undefined]);
  assert.equal(viewer.more, false);
  viewer.close();
});

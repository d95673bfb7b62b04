import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Message, MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import fc from "fast-check";
import {
  deletionContent,
  editContent,
  encodeContent,
  reactionContent,
  textContent,
} from "./content.ts";
import { type ConversationView, emptyView, reduceView } from "./view.ts";

const idOf = (seq: bigint) => seq * 1000n;
const at = (seq: number) => ({ seq: BigInt(seq), messageId: idOf(BigInt(seq)) });

function entry(seq: number, senderUserId: string, payload: Uint8Array): Message {
  return create(MessageSchema, {
    conversationId: "c",
    ...at(seq),
    senderUserId,
    body: { case: "payload", value: payload },
  });
}

const text = (seq: number, who: string, words: string) =>
  entry(seq, who, encodeContent(textContent({ text: words })));
const react = (seq: number, who: string, target: number, emoji: string) =>
  entry(seq, who, encodeContent(reactionContent(at(target), emoji)));
const edit = (seq: number, who: string, target: number, words: string) =>
  entry(seq, who, encodeContent(editContent(at(target), { text: words })));
const remove = (seq: number, who: string, target: number) =>
  entry(seq, who, encodeContent(deletionContent(at(target))));

function shown(view: ConversationView) {
  return view.messages.map(({ seq, kind, text: words, edited, reactions }) => ({
    seq: Number(seq),
    kind,
    words,
    edited,
    reactions: reactions.map(({ emoji, userIds }) => `${emoji} ${userIds.join(",")}`),
  }));
}

describe("reduceView", () => {
  it("shows texts with their newest words, reactions and deletions", () => {
    const view = reduceView(emptyView, [
      text(1, "ana", "hello"),
      text(2, "bob", "hi"),
      edit(3, "ana", 1, "hello!"),
      edit(4, "ana", 1, "hello, all"),
      react(5, "bob", 1, "👍"),
      react(6, "eve", 1, "👍"),
      react(7, "bob", 1, "🎉"),
      react(8, "ana", 2, "👍"),
      react(9, "ana", 2, ""),
      remove(10, "bob", 2),
    ]);
    assert.deepEqual(shown(view), [
      { seq: 1, kind: "text", words: "hello, all", edited: true, reactions: ["👍 eve", "🎉 bob"] },
      { seq: 2, kind: "deleted", words: "", edited: false, reactions: [] },
    ]);
  });

  it("ignores edits and deletions of somebody else's message, and references that do not fit", () => {
    const stray = { seq: 1n, messageId: 7n };
    const view = reduceView(emptyView, [
      text(1, "ana", "hello"),
      edit(2, "bob", 1, "goodbye"),
      remove(3, "bob", 1),
      entry(4, "ana", encodeContent(deletionContent(stray))),
      entry(5, "ana", encodeContent(reactionContent({ seq: 9n, messageId: idOf(9n) }, "👍"))),
      // An edit of an edit is none of the original.
      edit(6, "ana", 2, "changed"),
    ]);
    assert.deepEqual(shown(view), [
      { seq: 1, kind: "text", words: "hello", edited: false, reactions: [] },
    ]);
  });

  it("shows what it cannot read as unsupported", () => {
    const view = reduceView(emptyView, [
      entry(1, "ana", new Uint8Array([255, 255])),
      entry(2, "ana", new Uint8Array()),
    ]);
    assert.deepEqual(
      shown(view).map(({ kind }) => kind),
      ["unsupported", "unsupported"],
    );
  });

  it("drops a reply that points forward, and keeps one that points back", () => {
    const reply = (seq: number, target: number) =>
      entry(seq, "ana", encodeContent(textContent({ text: "yes", replyTo: at(target) })));
    const view = reduceView(emptyView, [reply(2, 1), reply(3, 4)]);
    assert.deepEqual(
      view.messages.map(({ replyTo }) => replyTo),
      [at(1), undefined],
    );
  });

  it("gives the same view for any order, batching and repetition", () => {
    const who = fc.constantFrom("ana", "bob", "eve");
    const target = fc.integer({ min: 1, max: 12 });
    const words = fc.constantFrom("a", "b", "");
    const action = fc.oneof(
      fc.tuple(who, words).map(
        ([w, t]) =>
          (seq: number) =>
            text(seq, w, t),
      ),
      fc.tuple(who, target, words).map(
        ([w, t, e]) =>
          (seq: number) =>
            react(seq, w, t, e),
      ),
      fc.tuple(who, target, words).map(
        ([w, t, n]) =>
          (seq: number) =>
            edit(seq, w, t, n),
      ),
      fc.tuple(who, target).map(
        ([w, t]) =>
          (seq: number) =>
            remove(seq, w, t),
      ),
    );
    const history = fc
      .array(action, { minLength: 1, maxLength: 12 })
      .map((actions) => actions.map((make, index) => make(index + 1)));
    const scrambled = history.chain((entries) =>
      fc.tuple(
        fc.constant(entries),
        fc.shuffledSubarray([...entries, ...entries], { minLength: entries.length * 2 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 24, maxLength: 24 }),
      ),
    );
    fc.assert(
      fc.property(scrambled, ([entries, order, sizes]) => {
        const expected = reduceView(emptyView, entries);
        let view = emptyView;
        let start = 0;
        for (const size of sizes) {
          view = reduceView(view, order.slice(start, start + size));
          start += size;
        }
        view = reduceView(view, order.slice(start));
        assert.deepEqual(view.messages, expected.messages);
      }),
      { numRuns: 500 },
    );
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { SayingSchema, Volume } from "@parley/gen/parley/internal/testing/v1/echo_pb";
import fc from "fast-check";
import { redact } from "./redact.ts";

const say = (init: MessageInitShape<typeof SayingSchema>) => create(SayingSchema, init);

test("each field is shown as the contract allows", () => {
  const message = say({
    text: "hello",
    payload: new Uint8Array(12),
    authorName: "Zoë",
    token: "t0k3n",
    checksum: new Uint8Array(4),
    volume: Volume.LOUD,
    labels: { a: "1" },
  });
  const shown = {
    text: "hello",
    payload: "[content 12 bytes]",
    author_name: "[pii]",
    token: "[secret]",
    checksum: "[4 bytes]",
    volume: "VOLUME_LOUD",
    labels: { a: "1" },
  };
  assert.deepEqual(redact(SayingSchema, message), shown);
  assert.deepEqual(redact(SayingSchema, message, { showPersonal: true }), {
    ...shown,
    author_name: "Zoë",
  });
});

test("fields that are not set are not shown, and messages inside are redacted too", () => {
  const message = say({ quotes: [{ token: "t", text: "inner" }] });
  assert.deepEqual(redact(SayingSchema, message), {
    quotes: [{ text: "inner", token: "[secret]" }],
  });
});

test("content that is a list, a map or a message is shown as its size", () => {
  const original = { text: "12345", payload: new Uint8Array(5), volume: Volume.QUIET };
  const message = say({ drafts: ["abc", "ü"], notes: { a: "1234" }, original });
  assert.deepEqual(redact(SayingSchema, message), {
    drafts: "[content 5 bytes]",
    original: "[content 10 bytes]",
    notes: "[content 4 bytes]",
  });
});

test("long texts, long lists, big maps and deep messages are cut", () => {
  let deep = say({ text: "bottom" });
  for (let level = 0; level < 50; level++) deep = say({ quotes: [deep] });
  const labels = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`k${index}`, "v"]));
  const quotes = Array.from({ length: 30 }, () => say({ text: "q" }));
  const wide = redact(SayingSchema, say({ text: "x".repeat(5000), labels, quotes }));
  assert.equal(String(wide.text).length, 201);
  assert.equal((wide.quotes as unknown[]).length, 11);
  assert.equal((wide.quotes as unknown[]).at(-1), "[20 more]");
  assert.equal(Object.keys(wide.labels as object).length, 11);
  assert.doesNotMatch(JSON.stringify(redact(SayingSchema, deep)), /bottom/);
  assert.ok(JSON.stringify(redact(SayingSchema, deep)).length < 500);
});

test("large numbers are shown in full, unknown enum values as numbers", () => {
  assert.equal(redact(SayingSchema, say({ volume: 77 as Volume })).volume, 77);
  const file = create(FileDescriptorProtoSchema, { name: "a.proto", publicDependency: [1, 2] });
  assert.deepEqual(redact(FileDescriptorProtoSchema, file).public_dependency, [1, 2]);
});

test("whatever is said, nothing sensitive is shown", () => {
  const secret = fc.string({ minLength: 8, maxLength: 20 }).map((text) => `<<${text}>>`);
  fc.assert(
    fc.property(secret, secret, secret, (content, name, token) => {
      const inner = { payload: new TextEncoder().encode(content), authorName: name, token };
      const shown = JSON.stringify(redact(SayingSchema, say({ ...inner, quotes: [inner] })));
      for (const hidden of [content, name, token]) {
        assert.ok(!shown.includes(JSON.stringify(hidden).slice(1, -1)), shown);
      }
    }),
  );
});

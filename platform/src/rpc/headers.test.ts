import assert from "node:assert/strict";
import { test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import fc from "fast-check";
import type { Caller } from "./caller.ts";
import { decodeCaller, encodeCaller, toHeaders, toMetadata } from "./headers.ts";

const callers: readonly Caller[] = [
  { kind: "public" },
  { kind: "operator" },
  { kind: "internal", service: "sérvice" },
  { kind: "device", userId: "u", deviceId: "d", expireTimeMs: 5 },
];

test("a caller survives its header", () => {
  for (const caller of callers) assert.deepEqual(decodeCaller(encodeCaller(caller)), caller);
});

test("what is not exactly a caller is none", () => {
  const wrong = [
    "",
    "null",
    "[]",
    '"operator"',
    "{}",
    '{"kind":"root"}',
    '{"kind":"internal"}',
    '{"kind":"internal","service":5}',
    '{"kind":"device","userId":"u","deviceId":"d"}',
    '{"kind":"device","userId":"u","deviceId":null,"expireTimeMs":1}',
    '{"kind":["operator"]}',
  ];
  for (const text of wrong) assert.equal(decodeCaller(Buffer.from(text)), undefined, text);
});

test("arbitrary bytes never throw", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => void decodeCaller(bytes)));
});

test("headers survive metadata, binary ones too, and repeated ones stay apart", () => {
  const metadata = new Metadata();
  metadata.add("x-text", "a");
  metadata.add("x-text", "b");
  metadata.add("x-raw-bin", Buffer.from([0, 255, 1]));
  metadata.add("x-raw-bin", Buffer.from([7]));
  const back = toMetadata(toHeaders(metadata));
  assert.deepEqual(back.get("x-raw-bin"), [Buffer.from([0, 255, 1]), Buffer.from([7])]);
  assert.deepEqual(back.get("x-text"), ["a, b"]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isUuid, newUuid, uuidFromBytes, uuidToBytes } from "./ids.ts";

test("a new id is a UUID of version 7 and the standard variant", () => {
  for (let index = 0; index < 1000; index++) {
    const id = newUuid();
    assert.ok(isUuid(id), id);
    assert.equal(id[14], "7");
    assert.match(id[19] ?? "", /[89ab]/);
  }
});

test("an id holds its time in its first 48 bits, so later ids sort later", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), (ms) => {
      assert.equal(Number.parseInt(newUuid(ms).replaceAll("-", "").slice(0, 12), 16), ms);
    }),
  );
});

test("ids of one moment differ", () => {
  const ids = new Set(Array.from({ length: 100_000 }, () => newUuid(0)));
  assert.equal(ids.size, 100_000);
});

test("bytes and text are the same id", () => {
  fc.assert(
    fc.property(fc.uuid(), (uuid) => {
      assert.equal(uuidFromBytes(uuidToBytes(uuid)), uuid);
    }),
  );
});

test("what is no UUID in canonical form is refused", () => {
  const uuid = newUuid();
  const wrong = [
    "",
    uuid.toUpperCase().replace(/\d/g, "A"),
    `${uuid} `,
    uuid.slice(1),
    `{${uuid}}`,
    uuid.replaceAll("-", ""),
  ];
  for (const text of wrong) {
    assert.equal(isUuid(text), false, text);
    assert.throws(() => uuidToBytes(text), RangeError);
  }
  assert.throws(() => uuidFromBytes(new Uint8Array(15)), RangeError);
});

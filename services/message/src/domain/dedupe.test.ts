import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { dedupeKeyText, isDuplicate } from "./dedupe.ts";

describe("isDuplicate", () => {
  const known = { offset: 10, appendTimeMs: 1000 };
  const at = (offset: number, appendTimeMs: number) =>
    isDuplicate(known, { offset, appendTimeMs }, 50);

  it("is a difference of append times", () => {
    assert.equal(at(11, 1000), true);
    assert.equal(at(11, 1049), true);
    assert.equal(at(11, 1050), false);
    assert.equal(at(11, 0), true, "a clock that went back ends no window");
  });

  it("is nothing to the record that made the entry, nor to those before it", () => {
    assert.equal(at(10, 1000), false);
    assert.equal(at(9, 1000), false);
  });
});

describe("dedupeKeyText", () => {
  it("differs when any part differs", () => {
    const key = { conversationId: "c", userId: "u", deviceId: "d", clientMessageId: "m" };
    const texts = [
      key,
      { ...key, conversationId: "x" },
      { ...key, userId: "x" },
      { ...key, deviceId: "x" },
      { ...key, clientMessageId: "x" },
      { ...key, userId: "ud", deviceId: "" },
    ].map(dedupeKeyText);
    assert.equal(new Set(texts).size, texts.length);
  });
});

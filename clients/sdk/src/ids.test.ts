import assert from "node:assert/strict";
import { it } from "node:test";
import { isUuid, newUuid } from "./ids.ts";

it("new ids are UUIDv7: they carry the time, and sort by it", () => {
  const nowMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  const ids = Array.from({ length: 100 }, () => newUuid(nowMs, crypto));
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) {
    assert.ok(isUuid(id), id);
    assert.equal(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16), nowMs);
    assert.match(id, /^.{14}7.{4}[89ab]/);
  }
  assert.ok(newUuid(nowMs, crypto) < newUuid(nowMs + 1, crypto));
  assert.equal(isUuid("not-an-id"), false);
});

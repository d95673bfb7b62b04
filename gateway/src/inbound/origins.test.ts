import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createOrigins } from "./origins.ts";

describe("origins", () => {
  const { decide } = createOrigins(["https://Chat.example.org/", "http://localhost:5173"]);

  it("allow pages of the same host and listed ones", () => {
    assert.equal(decide(undefined, "a.example"), "absent");
    assert.equal(decide("https://a.example", "a.example"), "allowed");
    assert.equal(decide("http://a.example:8080", "A.example:8080"), "allowed");
    assert.equal(decide("https://chat.example.org", "a.example"), "allowed");
    assert.equal(decide("http://localhost:5173", "localhost:8080"), "allowed");
  });

  it("refuse all others", () => {
    for (const [origin, host] of [
      ["https://evil.example", "a.example"],
      ["https://a.example.evil.example", "a.example"],
      ["http://localhost:5174", "localhost:8080"],
      ["https://a.example:444", "a.example"],
      ["null", "a.example"],
      ["", ""],
      ["https://a.example", undefined],
      ["file://", ""],
    ] as const) {
      assert.equal(decide(origin, host), "refused", `${origin} at ${host}`);
    }
  });
});

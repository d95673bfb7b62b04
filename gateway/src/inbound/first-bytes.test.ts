import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { sniff } from "./first-bytes.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

describe("sniff", () => {
  it("knows HTTP/2 by its whole preface, and waits for it", () => {
    for (let length = 1; length < PREFACE.length; length++) {
      assert.equal(sniff(Buffer.from(PREFACE.slice(0, length))), "undecided");
    }
    assert.equal(sniff(Buffer.from(PREFACE)), "http2");
    assert.equal(sniff(Buffer.from(`${PREFACE}more`)), "http2");
  });

  it("takes everything else for HTTP/1.1, as soon as it differs", () => {
    for (const text of ["GET / HTTP/1.1", "POST", "PUT", "PRO", "\0", "PRI * HTTP/2.1"]) {
      assert.equal(sniff(Buffer.from(text)), "http1", text);
    }
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 24 }), (bytes) => {
        if (!Buffer.from(bytes).subarray(0, 24).equals(Buffer.from(PREFACE))) {
          assert.equal(sniff(bytes), "http1");
        }
      }),
    );
  });
});

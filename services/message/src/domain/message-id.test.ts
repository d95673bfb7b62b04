import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { firstMessageIdAt, MESSAGE_ID_EPOCH_MS, nextMessageId } from "./message-id.ts";

const place = (appendTimeMs: number, partition = 0, offset = 0) => ({
  partition,
  offset,
  appendTimeMs,
});

describe("nextMessageId", () => {
  it("is time, partition and offset, from the high end", () => {
    const id = nextMessageId(place(MESSAGE_ID_EPOCH_MS + 5, 1023, 4096 + 7), 0n);
    assert.equal(id, (5n << 22n) | (1023n << 12n) | 7n);
  });

  it("goes on behind the last id when the clock went back, and when the offset wrapped", () => {
    const late = nextMessageId(place(MESSAGE_ID_EPOCH_MS + 1000, 3, 10), 0n);
    const back = nextMessageId(place(MESSAGE_ID_EPOCH_MS + 400, 3, 11), late);
    assert.equal(back >> 22n, 1001n);
    assert.equal(back & 0xfffn, 11n);
    const wrapped = nextMessageId(place(MESSAGE_ID_EPOCH_MS + 1000, 3, 4096), late);
    assert.equal(wrapped >> 22n, 1001n);
  });

  it("takes a log's clock from before 2025 for its beginning", () => {
    assert.equal(nextMessageId(place(0, 0, 1), 0n), 1n);
    assert.equal(nextMessageId(place(-5, 0, 1), 1n) >> 22n, 1n);
  });

  it("grows and fits into 63 bits, whatever the clock does", () => {
    const anyTime = fc.oneof(
      fc.integer({ min: MESSAGE_ID_EPOCH_MS - 10, max: MESSAGE_ID_EPOCH_MS + 50 }),
      fc.constantFrom(-1, 0, 2 ** 41, 2 ** 52),
    );
    fc.assert(
      fc.property(fc.array(anyTime, { maxLength: 50 }), fc.nat(1023), (times, partition) => {
        let last = 0n;
        for (const [offset, time] of times.entries()) {
          const id = nextMessageId(place(time, partition, offset), last);
          assert.ok(id > last && id < 2n ** 63n);
          assert.equal(Number((id >> 12n) & 1023n), partition);
          last = id;
        }
      }),
    );
  });
});

describe("firstMessageIdAt", () => {
  it("separates what was accepted before a time from the rest", () => {
    const at = MESSAGE_ID_EPOCH_MS + 100;
    const first = firstMessageIdAt(at);
    assert.ok(nextMessageId(place(at - 1, 1023, 4095), 0n) < first);
    assert.ok(nextMessageId(place(at, 0, 0), 0n) >= first);
    assert.equal(firstMessageIdAt(0), 0n);
  });
});

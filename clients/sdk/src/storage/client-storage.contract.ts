/** What every storage promises (`ClientStorage`). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ClientStorage, StoredAccount, StoredSend, StoredTimeline } from "./client-storage.ts";

/** A place for a storage that outlives it: opening again finds what was written. */
export type StoragePlace = {
  open(options?: { readonly entriesKeptMax?: number }): Promise<ClientStorage>;
  /** False if closing the storage ends what is in it. */
  readonly durable: boolean;
  [Symbol.asyncDispose](): Promise<void>;
};

const account: StoredAccount = {
  userId: "user-1",
  deviceId: "device-1",
  username: "ana",
  accessToken: "access",
  accessExpireMs: 1_000,
  refreshToken: "refresh",
  refreshExpireMs: 2_000,
};

function timeline(conversationId: string, position: bigint): StoredTimeline {
  return {
    conversationId,
    position,
    messageId: 2n ** 62n + position,
    holes: [{ first: 1n, last: 2n }],
    readSeq: 3n,
    confirmedReadSeq: 2n,
    confirmedDeliveredSeq: 3n,
  };
}

function send(clientMessageId: string, order: number): StoredSend {
  return {
    clientMessageId,
    conversationId: "c",
    order,
    payload: new Uint8Array([0, 255, order]),
    silent: false,
    clientTimeMs: 5,
    deviceId: "",
    firstAttemptMs: 0,
    failure: null,
  };
}

function entry(seq: bigint, conversationId = "c") {
  return { conversationId, seq, bytes: new Uint8Array([Number(seq % 256n)]) };
}

export function describeClientStorage(
  name: string,
  createPlace: () => Promise<StoragePlace>,
): void {
  describe(`ClientStorage: ${name}`, () => {
    it("is empty at first", async () => {
      await using place = await createPlace();
      const storage = await place.open();
      const state = await storage.load();
      assert.deepEqual(
        { ...state, sends: [...state.sends], timelines: [...state.timelines] },
        { account: undefined, timelines: [], sends: [], settings: {} },
      );
      assert.equal(await storage.readAccount(), undefined);
      assert.deepEqual(await storage.readEntries("c", { count: 10 }), []);
      await storage.close();
    });

    it("keeps a batch whole, across a restart where it is durable", async () => {
      await using place = await createPlace();
      let storage = await place.open();
      const big = 2n ** 63n;
      await storage.write({
        account,
        timelines: [timeline("c", big), timeline("d", 4n)],
        entries: [entry(1n), entry(big)],
        sends: [send("b", 2), send("a", 1)],
        settings: { road: "connect" },
      });
      if (place.durable) {
        await storage.close();
        storage = await place.open();
      }
      const state = await storage.load();
      assert.deepEqual(state.account, account);
      assert.deepEqual(await storage.readAccount(), account);
      assert.deepEqual(
        new Map(state.timelines.map((t) => [t.conversationId, t])),
        new Map([
          ["c", timeline("c", big)],
          ["d", timeline("d", 4n)],
        ]),
      );
      assert.deepEqual(state.sends, [send("a", 1), send("b", 2)]);
      assert.deepEqual(state.settings, { road: "connect" });
      assert.deepEqual(await storage.readEntries("c", { count: 10 }), [entry(1n), entry(big)]);
      await storage.close();
    });

    it("replaces and removes", async () => {
      await using place = await createPlace();
      const storage = await place.open();
      await storage.write({ account, sends: [send("a", 1), send("b", 2)], settings: { a: "1" } });
      await storage.write({
        account: null,
        sends: [{ ...send("b", 3), failure: { code: 7, reason: "NOT_A_MEMBER", message: "No." } }],
        removedSends: ["a", "unknown"],
        settings: { a: "2", b: "3" },
      });
      const state = await storage.load();
      assert.equal(state.account, undefined);
      assert.deepEqual(
        state.sends.map((s) => [s.clientMessageId, s.order, s.failure?.reason]),
        [["b", 3, "NOT_A_MEMBER"]],
      );
      assert.deepEqual(state.settings, { a: "2", b: "3" });
      await storage.close();
    });

    it("never moves a position back, and keeps what else changes at it", async () => {
      await using place = await createPlace();
      const storage = await place.open();
      await storage.write({ timelines: [timeline("c", 9n)] });
      await storage.write({ timelines: [{ ...timeline("c", 8n), readSeq: 100n }] });
      await storage.write({ timelines: [{ ...timeline("c", 9n), readSeq: 9n }] });
      const { timelines } = await storage.load();
      assert.deepEqual(
        timelines.map((t) => [t.position, t.readSeq]),
        [[9n, 9n]],
      );
      await storage.close();
    });

    it("goes back where the server's history is another, and keeps what comes in its place", async () => {
      await using place = await createPlace();
      let storage = await place.open();
      await storage.write({
        timelines: [timeline("c", 300n), timeline("d", 300n)],
        entries: [1n, 15n, 16n, 255n, 256n, 300n].map((seq) => entry(seq)),
      });
      await storage.write({ entries: [entry(300n, "d")] });
      const replaced = { ...entry(17n), bytes: new Uint8Array([77]) };
      await storage.write({
        rewoundTimelines: [timeline("c", 16n), timeline("unknown", 0n)],
        timelines: [timeline("c", 17n)],
        entries: [replaced],
      });
      if (place.durable) {
        await storage.close();
        storage = await place.open();
      }
      const { timelines } = await storage.load();
      assert.deepEqual(
        new Map(timelines.map((t) => [t.conversationId, t])),
        new Map([
          ["c", timeline("c", 17n)],
          ["d", timeline("d", 300n)],
          ["unknown", timeline("unknown", 0n)],
        ]),
      );
      const expected = [entry(1n), entry(15n), entry(16n), replaced];
      assert.deepEqual(await storage.readEntries("c", { count: 10 }), expected);
      assert.equal((await storage.readEntries("d", { count: 10 })).length, 1);
      await storage.write({ timelines: [timeline("c", 16n)] });
      assert.equal((await storage.load()).timelines[0]?.position, 17n);
      await storage.close();
    });

    it("reads the newest entries below a place, oldest first", async () => {
      await using place = await createPlace();
      const storage = await place.open();
      // Around a power of 16, where keys that are compared as texts would sort wrongly.
      const seqs = [9n, 10n, 15n, 16n, 17n, 255n, 256n, 257n];
      await storage.write({ entries: [...seqs].reverse().map((seq) => entry(seq)) });
      await storage.write({ entries: [entry(16n, "other")] });
      const read = async (beforeSeq: bigint | undefined, count: number) =>
        (await storage.readEntries("c", { beforeSeq, count })).map(({ seq }) => seq);
      assert.deepEqual(await read(undefined, 3), [255n, 256n, 257n]);
      assert.deepEqual(await read(256n, 3), [16n, 17n, 255n]);
      assert.deepEqual(await read(16n, 10), [9n, 10n, 15n]);
      assert.deepEqual(await read(9n, 10), []);
      assert.deepEqual(await read(undefined, 0), []);
      await storage.close();
    });

    it("lets the oldest entries of a conversation go above its limit", async () => {
      await using place = await createPlace();
      const storage = await place.open({ entriesKeptMax: 3 });
      await storage.write({ entries: [1n, 2n, 3n, 4n, 5n].map((seq) => entry(seq)) });
      await storage.write({ entries: [entry(1n, "other")] });
      const kept = await storage.readEntries("c", { count: 10 });
      assert.deepEqual(
        kept.map(({ seq }) => seq),
        [3n, 4n, 5n],
      );
      assert.equal((await storage.readEntries("other", { count: 10 })).length, 1);
      await storage.close();
    });

    it("applies overlapping writes in the order of the calls", async () => {
      await using place = await createPlace();
      const storage = await place.open();
      const writes = Array.from({ length: 50 }, (_, index) =>
        storage.write({ settings: { last: String(index) }, sends: [send("a", index)] }),
      );
      await Promise.all(writes);
      const { settings, sends } = await storage.load();
      assert.deepEqual([settings.last, sends[0]?.order], ["49", 49]);
      await storage.close();
    });

    it("forgets everything when cleared", async () => {
      await using place = await createPlace();
      let storage = await place.open();
      await storage.write({
        account,
        timelines: [timeline("c", 1n)],
        entries: [entry(1n)],
        sends: [send("a", 1)],
        settings: { a: "1" },
      });
      await storage.clear();
      if (place.durable) {
        await storage.close();
        storage = await place.open();
      }
      const state = await storage.load();
      assert.equal(state.account, undefined);
      assert.deepEqual([state.timelines.length, state.sends.length], [0, 0]);
      assert.deepEqual(state.settings, {});
      assert.deepEqual(await storage.readEntries("c", { count: 10 }), []);
      await storage.write({ settings: { a: "2" } });
      assert.deepEqual((await storage.load()).settings, { a: "2" });
      await storage.close();
    });

    it("rejects after closing", async () => {
      await using place = await createPlace();
      const storage = await place.open();
      await storage.close();
      await assert.rejects(async () => storage.load());
      await assert.rejects(async () => storage.write({ settings: { a: "1" } }));
    });
  });
}

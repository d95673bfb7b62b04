import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createGroupCommit, StoreDisposedError } from "./group-commit.ts";
import type { Layer } from "./overlay.ts";

/** A commit whose attempts are answered by hand. */
function openCommit(layerBytesMax = 1000) {
  const attempts: { layer: Layer; resolve: () => void; reject: (error: Error) => void }[] = [];
  const waiting: ((attempt: (typeof attempts)[number]) => void)[] = [];
  const problems: unknown[] = [];
  let recovered = 0;
  const commits = createGroupCommit({
    commit: (layer) =>
      new Promise<void>((resolve, reject) => {
        const attempt = { layer, resolve, reject };
        attempts.push(attempt);
        waiting.shift()?.(attempt);
      }),
    onProblem: (error, attempt) => problems.push({ error, attempt }),
    onRecovered: () => recovered++,
    delayMs: 1,
    layerBytesMax,
    retryMinMs: 1,
    retryMaxMs: 2,
  });
  let taken = 0;
  const next = async () => {
    const known = attempts[taken++];
    return known ?? new Promise<(typeof attempts)[number]>((resolve) => waiting.push(resolve));
  };
  const put = (offset: number, bytes = 1) => {
    commits.filling.checkpoints.set(0, { replayOffset: offset, endOffset: offset });
    commits.filling.bytes += bytes;
    const durable = commits.filling.durable.promise;
    return { durable, room: commits.changed() };
  };
  return { commits, next, put, problems, recovered: () => recovered };
}

const full = new Error("no space");

describe("group commit", () => {
  it("commits together what came within its time, and what came meanwhile after that", async () => {
    const { commits, next, put } = openCommit();
    const first = put(1);
    put(2);
    const attempt = await next();
    assert.equal(attempt.layer.checkpoints.get(0)?.replayOffset, 2);
    const later = put(3);
    assert.deepEqual(commits.layers, [commits.filling, attempt.layer], "both can be read");
    attempt.resolve();
    await first.durable;
    assert.deepEqual(commits.layers, [commits.filling]);
    (await next()).resolve();
    await later.durable;
    await commits[Symbol.asyncDispose]();
  });

  it("tries again until it succeeds, in order, and says so", async () => {
    const { commits, next, put, problems, recovered } = openCommit();
    const { durable } = put(1);
    const failing = await next();
    put(2);
    failing.reject(full);
    const again = await next();
    assert.equal(again.layer, failing.layer, "the same, before what came later");
    assert.equal(commits.failing, true);
    again.reject(full);
    (await next()).resolve();
    await durable;
    assert.equal(commits.failing, false);
    assert.deepEqual(problems, [
      { error: full, attempt: 1 },
      { error: full, attempt: 2 },
    ]);
    assert.equal(recovered(), 1);
    (await next()).resolve();
    await commits[Symbol.asyncDispose]();
  });

  it("makes writers wait when both layers are full", async () => {
    const { commits, next, put } = openCommit(10);
    assert.equal(put(1, 10).room, undefined, "the first goes at once");
    const committing = await next();
    assert.equal(put(2, 9).room, undefined);
    assert.equal(commits.full, false);
    const { room } = put(3, 1);
    assert.ok(room !== undefined);
    assert.equal(commits.full, true);
    let waited = true;
    const done = room.then(() => {
      waited = false;
    });
    await Promise.resolve();
    assert.equal(waited, true);
    committing.resolve();
    await done;
    assert.equal(commits.full, false);
    (await next()).resolve();
    await commits[Symbol.asyncDispose]();
  });

  it("commits the rest when it is disposed of", async () => {
    const { commits, next, put } = openCommit();
    const { durable } = put(1);
    const disposing = commits[Symbol.asyncDispose]();
    (await next()).resolve();
    await Promise.all([disposing, durable]);
  });

  it("commits nothing behind what it had to give up", async () => {
    const { commits, next, put } = openCommit();
    const first = put(1);
    const failing = await next();
    const second = put(2);
    const rejected = Promise.all([
      assert.rejects(first.durable, StoreDisposedError),
      assert.rejects(second.durable, StoreDisposedError),
    ]);
    const disposing = commits[Symbol.asyncDispose]();
    failing.reject(full);
    await disposing;
    await rejected;
  });

  it("flushes without waiting for its time", async () => {
    const { commits, next, put } = openCommit();
    put(1);
    let flushed = false;
    const flushing = commits.flush().then(() => {
      flushed = true;
    });
    const attempt = await next();
    put(2);
    attempt.resolve();
    (await next()).resolve();
    await flushing;
    assert.equal(flushed, true);
    await commits.flush();
    await commits[Symbol.asyncDispose]();
  });

  it("flushes what is there, and not what comes for ever", async () => {
    const { commits, next, put } = openCommit();
    put(1);
    const first = await next();
    put(2);
    const flushing = commits.flush();
    let flushed = false;
    flushing.then(() => {
      flushed = true;
    });
    first.resolve();
    const second = await next();
    assert.equal(flushed, false, "what had been written before the call is not on disk");
    put(3);
    second.resolve();
    await flushing;
    assert.equal(commits.filling.isEmpty, false, "what came since still waits");
    put(4);
    (await next()).resolve();
    await commits[Symbol.asyncDispose]();
  });

  it("says to who flushes that nothing more will be on disk", async () => {
    const { commits, next, put } = openCommit();
    put(1);
    const failing = await next();
    put(2);
    const refused = assert.rejects(commits.flush(), StoreDisposedError);
    const disposing = commits[Symbol.asyncDispose]();
    failing.reject(full);
    await disposing;
    await refused;
  });

  it("ends quietly while somebody could wait for room and does not", async () => {
    const { commits, next, put } = openCommit(1);
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", onUnhandled);
    put(1);
    const failing = await next();
    put(2);
    const disposing = commits[Symbol.asyncDispose]();
    failing.reject(full);
    await disposing;
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", onUnhandled);
    assert.deepEqual(unhandled, []);
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { retryAfterMsOf } from "@parley/platform/errors";
import { createPasswordHasher } from "./password-hasher.ts";
import { refusedWith } from "./testing/refusals.ts";

const CHEAP = { memoryKib: 64, passes: 1, parallelism: 1, concurrencyMax: 2, waitingMax: 100 };

test("a password verifies against its own hash only", async () => {
  const hasher = createPasswordHasher(CHEAP);
  const hash = await hasher.hash("correct horse");
  assert.match(hash, /^\$argon2id\$v=19\$m=64,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  assert.notEqual(await hasher.hash("correct horse"), hash);
  assert.equal(await hasher.verify("correct horse", hash), true);
  assert.equal(await hasher.verify("Correct horse", hash), false);
  assert.equal(await hasher.verify("", hash), false);
});

test("a hash made elsewhere with other parameters verifies", async () => {
  // From the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32
  const hash =
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
  const hasher = createPasswordHasher(CHEAP);
  assert.equal(await hasher.verify("password", hash), true);
  assert.equal(await hasher.verify("passwort", hash), false);
});

test("the same letters typed in another way are the same password", async () => {
  const hasher = createPasswordHasher(CHEAP);
  const hash = await hasher.hash("caf\u00e9 caf\u00e9");
  assert.equal(await hasher.verify("cafe\u0301 cafe\u0301", hash), true);
});

test("without a hash nothing verifies, and it takes about as long", async () => {
  const hasher = createPasswordHasher({ ...CHEAP, memoryKib: 8192, passes: 2 });
  const hash = await hasher.hash("correct horse");
  const timeOf = async (stored: string | undefined) => {
    const startedMs = performance.now();
    assert.equal(await hasher.verify("wrong horse", stored), false);
    return performance.now() - startedMs;
  };
  const fastest = async (stored: string | undefined) => {
    let bestMs = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 7; round++) bestMs = Math.min(bestMs, await timeOf(stored));
    return bestMs;
  };
  const ratio = (await fastest(undefined)) / (await fastest(hash));
  assert.ok(ratio > 0.4 && ratio < 2.5, `the ratio is ${ratio}`);
});

test("at most so many hash at once, so many wait, and the rest is refused", async () => {
  const hasher = createPasswordHasher({ ...CHEAP, memoryKib: 1024, waitingMax: 3 });
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, (_, index) => hasher.hash(`password ${index}`)),
  );
  assert.equal(outcomes.filter((outcome) => outcome.status === "fulfilled").length, 5);
  const rejected = outcomes.find((outcome) => outcome.status === "rejected");
  const error = await refusedWith(Promise.reject(rejected?.reason), "HASHING_BUSY");
  assert.equal(retryAfterMsOf(error), 1000);
  await hasher.hash("the turn is free again");
});

test("a stored hash of another kind is our bug, not a wrong password", async () => {
  const hasher = createPasswordHasher(CHEAP);
  await assert.rejects(hasher.verify("x", "$2b$10$abc"), /no argon2id hash/);
});

test("a hash of other parameters is to be renewed, one of the same is not", async () => {
  const hasher = createPasswordHasher(CHEAP);
  assert.equal(hasher.needsRenewal(await hasher.hash("correct horse")), false);
  for (const change of [{ memoryKib: 128 }, { passes: 2 }, { parallelism: 2, memoryKib: 64 }]) {
    const other = await createPasswordHasher({ ...CHEAP, ...change }).hash("correct horse");
    assert.equal(hasher.needsRenewal(other), true);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  ACTIVATION_MS,
  inOrder,
  planSigningKeys,
  RELOAD_MS,
  type SigningKeyPolicy,
  type SigningKeyRecord,
  signingKeyAt,
} from "./signing-keys.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const policy: SigningKeyPolicy = {
  rotateAfterMs: DAY_MS,
  accessMs: HOUR_MS,
  distrustBeforeMs: 0,
};
const NAME = "access-token-signing";

test("the first key is made when there is none, and signs at once", () => {
  assert.deepEqual(planSigningKeys([], 5, policy), { create: NAME, forget: [] });
  const key = { name: NAME, createTimeMs: 5 };
  assert.equal(signingKeyAt([key], 0), key);
  assert.equal(signingKeyAt([], 0), undefined);
});

test("an old key gets a successor, which waits until everybody knows it", () => {
  const first = { name: NAME, createTimeMs: 0 };
  assert.deepEqual(planSigningKeys([first], DAY_MS - 1, policy).create, undefined);
  assert.deepEqual(planSigningKeys([first], DAY_MS, policy).create, `${NAME}-2`);
  const second = { name: `${NAME}-2`, createTimeMs: DAY_MS };
  const keys = inOrder([second, first]);
  assert.equal(signingKeyAt(keys, DAY_MS + ACTIVATION_MS - 1), first);
  assert.equal(signingKeyAt(keys, DAY_MS + ACTIVATION_MS), second);
  assert.equal(planSigningKeys(keys, DAY_MS + 1, policy).create, undefined);
  const forgetMs = DAY_MS + ACTIVATION_MS + RELOAD_MS + HOUR_MS + 60_000;
  assert.deepEqual(planSigningKeys(keys, forgetMs - 1, policy).forget, []);
  assert.deepEqual(planSigningKeys(keys, forgetMs, policy).forget, [NAME]);
  const never = { ...policy, rotateAfterMs: Number.POSITIVE_INFINITY };
  assert.equal(planSigningKeys([second], 1000 * DAY_MS, never).create, undefined);
});

test("the tenth key comes after the ninth", () => {
  const keys = [10, 9].map((number) => ({ name: `${NAME}-${number}`, createTimeMs: 0 }));
  assert.deepEqual(
    inOrder(keys).map(({ name }) => name),
    [`${NAME}-9`, `${NAME}-10`],
  );
});

test("keys that are not believed are forgotten at once, for one that signs at once", () => {
  const keys = [NAME, `${NAME}-2`].map((name) => ({ name, createTimeMs: 1000 }));
  const distrusting = { ...policy, distrustBeforeMs: 2000 };
  const plan = planSigningKeys(keys, 3000, distrusting);
  assert.deepEqual(plan, { create: `${NAME}-3`, forget: [NAME, `${NAME}-2`] });
  const fresh = { name: `${NAME}-3`, createTimeMs: 3000 };
  assert.equal(signingKeyAt([fresh], 3000), fresh);
  assert.deepEqual(planSigningKeys([fresh], 4000, distrusting), { create: undefined, forget: [] });
});

/** Processes that share a database, as the signer uses it. */
class Deployment {
  nowMs = 0;
  readonly stored = new Map<string, SigningKeyRecord>();
  readonly #seen: { keys: readonly SigningKeyRecord[]; readMs: number }[];
  readonly #policy: SigningKeyPolicy;

  constructor(processes: number, given: SigningKeyPolicy) {
    this.#policy = given;
    this.#seen = Array.from({ length: processes }, () => ({
      keys: [],
      readMs: Number.NEGATIVE_INFINITY,
    }));
  }

  sign(process: number, issueTimeMs: number): string {
    const seen = this.#seen[process];
    assert.ok(seen !== undefined);
    if (this.nowMs - seen.readMs >= RELOAD_MS) {
      const { create, forget } = planSigningKeys(
        inOrder([...this.stored.values()]),
        this.nowMs,
        this.#policy,
      );
      if (create !== undefined && !this.stored.has(create)) {
        this.stored.set(create, { name: create, createTimeMs: this.nowMs });
      }
      for (const name of forget) this.stored.delete(name);
      seen.keys = inOrder([...this.stored.values()]);
      seen.readMs = this.nowMs;
    }
    const key = signingKeyAt(seen.keys, issueTimeMs);
    assert.ok(key !== undefined);
    return key.name;
  }
}

test("a process that has just read the keys makes the same tokens as one that makes a key meanwhile", () => {
  const deployment = new Deployment(2, policy);
  deployment.sign(0, 0);
  deployment.nowMs = DAY_MS - 30_000;
  deployment.sign(1, deployment.nowMs);
  deployment.nowMs = DAY_MS;
  const key = deployment.sign(0, DAY_MS);
  assert.equal(deployment.stored.size, 2);
  deployment.nowMs += 20_000;
  assert.equal(deployment.sign(1, DAY_MS), key);
});

test("a token verifies until it expires, and any process makes the same one, whatever happens when", () => {
  const step = fc.record({
    waitMs: fc.oneof(fc.nat(10_000), fc.nat(2 * HOUR_MS), fc.nat(2 * DAY_MS)),
    process: fc.nat(2),
    repeat: fc.nat(2),
    repeatAfterMs: fc.nat(60_000),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: DAY_MS, max: 3 * DAY_MS }),
      fc.integer({ min: 60_000, max: DAY_MS }),
      (steps, rotateAfterMs, accessMs) => {
        const deployment = new Deployment(3, { ...policy, rotateAfterMs, accessMs });
        const tokens: { key: string; expireTimeMs: number }[] = [];
        for (const { waitMs, process, repeat, repeatAfterMs } of steps) {
          deployment.nowMs += waitMs;
          const issueTimeMs = deployment.nowMs;
          const key = deployment.sign(process, issueTimeMs);
          tokens.push({ key, expireTimeMs: issueTimeMs + accessMs });
          // A refresh that is repeated gives the same token, wherever it is answered.
          deployment.nowMs += repeatAfterMs;
          assert.equal(deployment.sign(repeat, issueTimeMs), key);
          for (const token of tokens) {
            if (token.expireTimeMs > deployment.nowMs) assert.ok(deployment.stored.has(token.key));
          }
          assert.ok(deployment.stored.size <= 3, `${deployment.stored.size} keys`);
        }
      },
    ),
    { numRuns: 500 },
  );
});

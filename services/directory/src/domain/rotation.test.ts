import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decideRotation,
  issueToken,
  ROTATION_GRACE_MS,
  type RotationDecision,
  type RotationSnapshot,
  type StoredToken,
} from "./rotation.ts";

const LIFETIME_MS = 3_600_000;
const START_MS = 1_767_225_600_000;

const hashOf = (generation: number) => `hash ${generation}`;

/** A device in memory that does what a store is told to do. */
function createDevice() {
  const issued = [issueToken(1, hashOf(1), { nowMs: START_MS, lifetimeMs: LIFETIME_MS })];
  let stored: StoredToken[] = [...issued];
  let revoked = false;
  return {
    issued,
    present(generation: number, nowMs: number): RotationDecision {
      const snapshot: RotationSnapshot = {
        userId: "ada",
        revoked,
        generation: issued.length,
        tokens: stored,
      };
      const presented = {
        generation,
        tokenHash: hashOf(generation),
        expireTimeMs: issued[generation - 1]?.expireTimeMs ?? 0,
        successorHash: hashOf(generation + 1),
      };
      const decision = decideRotation(snapshot, presented, { nowMs, lifetimeMs: LIFETIME_MS });
      if (decision.kind === "reused") revoked = true;
      if (decision.kind === "rotate") {
        const old = stored.filter(
          (token) =>
            token.rotateTimeMs === undefined || token.rotateTimeMs >= nowMs - ROTATION_GRACE_MS,
        );
        stored = [
          ...old.map((token) =>
            token.generation === generation ? { ...token, rotateTimeMs: nowMs } : token,
          ),
          decision.issued,
        ];
        issued.push(decision.issued);
      }
      return decision;
    },
  };
}

test("any history of refreshes is decided as the contract says", () => {
  const step = fc.record({
    waitMs: fc.constantFrom(
      0,
      1,
      1000,
      ROTATION_GRACE_MS - 1,
      ROTATION_GRACE_MS,
      61_000,
      1_800_000,
    ),
    /** Which token: 0 the newest, 1 the one before, … */
    back: fc.nat({ max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const device = createDevice();
      const rotatedAtMs = new Map<number, number>();
      let nowMs = START_MS;
      let revoked = false;
      for (const { waitMs, back } of steps) {
        nowMs += waitMs;
        const newest = device.issued.length;
        const generation = Math.max(1, newest - back);
        const expireTimeMs = device.issued[generation - 1]?.expireTimeMs ?? 0;
        const rotatedMs = rotatedAtMs.get(generation);
        const decision = device.present(generation, nowMs);
        if (revoked || nowMs >= expireTimeMs) {
          assert.equal(decision.kind, "invalid");
        } else if (rotatedMs === undefined) {
          assert.equal(decision.kind, "rotate");
          rotatedAtMs.set(generation, nowMs);
        } else if (nowMs - rotatedMs <= ROTATION_GRACE_MS) {
          assert.ok(decision.kind === "repeat");
          assert.equal(decision.issued.tokenHash, hashOf(generation + 1));
          assert.equal(decision.issued.issueTimeMs, rotatedMs);
        } else {
          assert.equal(decision.kind, "reused");
          revoked = true;
        }
      }
    }),
    { numRuns: 1000 },
  );
});

test("a token whose secret is another one's is invalid, and so is one from the future", () => {
  const token = issueToken(2, hashOf(2), { nowMs: START_MS, lifetimeMs: LIFETIME_MS });
  const snapshot = { userId: "ada", revoked: false, generation: 2, tokens: [token] };
  const times = { nowMs: START_MS, lifetimeMs: LIFETIME_MS };
  const presented = {
    generation: 2,
    tokenHash: "another",
    expireTimeMs: token.expireTimeMs,
    successorHash: "x",
  };
  assert.deepEqual(decideRotation(snapshot, presented, times), { kind: "invalid" });
  const future = { ...presented, generation: 3 };
  assert.deepEqual(decideRotation(snapshot, future, times), { kind: "invalid" });
  assert.deepEqual(decideRotation(undefined, presented, times), { kind: "invalid" });
});

test("a clock that goes back does not turn a repetition into theft", () => {
  const device = createDevice();
  assert.equal(device.present(1, START_MS + 10_000).kind, "rotate");
  assert.equal(device.present(1, START_MS).kind, "repeat");
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { errors, types } from "cassandra-driver";
import { isPassing, SpeculativeReads } from "./cassandra-client.ts";

describe("speculation", () => {
  it("sends reads to one more replica, and writes to none", () => {
    const policy = new SpeculativeReads(150);
    const read = policy.newPlan("parley", "SELECT a FROM b WHERE c = ?");
    assert.deepEqual([read.nextExecution(), read.nextExecution()], [150, -1]);
    const again = policy.newPlan("parley", "SELECT a FROM b WHERE c = ?");
    assert.equal(again.nextExecution(), 150, "each read has a plan of its own");
    assert.equal(policy.newPlan("parley", "UPDATE b SET a = ?").nextExecution(), -1);
    assert.equal(policy.newPlan("parley", [{ query: "SELECT" }]).nextExecution(), -1);
  });
});

describe("an error of the driver", () => {
  const { responseErrorCodes } = types;
  for (const [what, error, passes] of [
    ["a write timeout", new errors.ResponseError(responseErrorCodes.writeTimeout, ""), true],
    ["an overloaded node", new errors.ResponseError(responseErrorCodes.overloaded, ""), true],
    ["no answer", new errors.OperationTimedOutError(""), true],
    ["no node", new errors.NoHostAvailableError({}), true],
    ["a broken socket", Object.assign(new Error(""), { isSocketError: true }), true],
    ["a wrong statement", new errors.ResponseError(responseErrorCodes.syntaxError, ""), false],
    ["no right to do it", new errors.ResponseError(responseErrorCodes.unauthorized, ""), false],
    ["a wrong value", new TypeError(""), false],
  ] as const) {
    it(`that says ${what} ${passes ? "passes" : "stays"}`, () => {
      assert.equal(isPassing(error), passes);
    });
  }
});

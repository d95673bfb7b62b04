import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { suggestDisplayName, suggestUsername, withSuffix } from "./external-username.ts";

const VALID = /^[a-z][a-z0-9_.]{2,31}$/;

test("the best claim makes the username", () => {
  const cases = [
    [{ preferredUsername: "Zoë.Müller", email: "z@example.com" }, "zoe.muller"],
    [{ nickname: "  Grace Hopper! " }, "grace_hopper"],
    [{ email: "grace.hopper@example.com" }, "grace.hopper"],
    [{ name: "李雷", email: "li@example.com" }, "li_"],
    [{ preferredUsername: "007" }, "u_007"],
    [{ preferredUsername: "@@" }, "user"],
    [{ name: "李雷" }, "user"],
    [{}, "user"],
  ] as const;
  for (const [claims, username] of cases) assert.equal(suggestUsername(claims), username);
});

test("every suggestion is a valid username, with and without a suffix", () => {
  const claim = fc.option(fc.string({ unit: "binary" }), { nil: undefined });
  const claims = fc.record({
    preferredUsername: claim,
    nickname: claim,
    email: claim,
    name: claim,
  });
  fc.assert(
    fc.property(claims, fc.stringMatching(/^\d{6}$/), (given, suffix) => {
      const username = suggestUsername(given);
      assert.match(username, VALID);
      assert.match(withSuffix(username, suffix), VALID);
      assert.ok(withSuffix(username, suffix).endsWith(`_${suffix}`));
      const displayName = suggestDisplayName(given, username);
      assert.ok(displayName !== "" && [...displayName].length <= 64);
    }),
  );
});

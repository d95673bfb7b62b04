import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cleanDisplayName, foldForSearch, takeCharacters } from "./account.ts";

test("folding unites what looks alike and is stable", () => {
  assert.equal(foldForSearch("  ÉMILE ﬁn "), "émile fin");
  assert.equal(foldForSearch("E\u0301mile"), "émile");
  assert.equal(foldForSearch("ＡＢＣ"), "abc");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const folded = foldForSearch(text);
      assert.ok([...folded].length <= 64);
      assert.ok(folded.isWellFormed());
    }),
  );
});

test("characters are counted as code points, and none is cut in half", () => {
  assert.equal(takeCharacters("🦉🦉🦉", 2), "🦉🦉");
  assert.equal(takeCharacters("abc", 3), "abc");
});

test("a display name has no line breaks and no blanks around it", () => {
  assert.equal(cleanDisplayName("\tAda\r\nLovelace\u2028 "), "Ada Lovelace");
  assert.equal(cleanDisplayName(" \u0000 "), "");
});

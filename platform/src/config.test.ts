import assert from "node:assert/strict";
import { test } from "node:test";
import * as config from "./config.ts";

/** What a text becomes, or that it is refused. */
function table<T>(
  name: string,
  parse: (text: string | undefined) => T,
  rows: readonly (readonly [string | undefined, T | "refused"])[],
): void {
  for (const [text, expected] of rows) {
    test(`${name} of ${JSON.stringify(text)} is ${JSON.stringify(expected)}`, () => {
      if (expected === "refused") assert.throws(() => parse(text), config.ConfigError);
      else assert.deepEqual(parse(text), expected);
    });
  }
}

table("parseInteger", (text) => config.parseInteger("N", text, { default: 7, min: 1, max: 100 }), [
  [undefined, 7],
  ["", 7],
  [" 42 ", 42],
  ["1", 1],
  ["100", 100],
  ["0", "refused"],
  ["101", "refused"],
  ["1e1", "refused"],
  ["4.2", "refused"],
  ["0x10", "refused"],
  ["99999999999999999999", "refused"],
]);

table("parseNumber", (text) => config.parseNumber("N", text, { default: 1, min: 0, max: 1 }), [
  ["0.25", 0.25],
  [".5", 0.5],
  ["1.1", "refused"],
  ["NaN", "refused"],
]);

table(
  "parseDuration",
  (text) => config.parseDuration("D", text, { default: 1, max: 7 * 86_400_000 }),
  [
    [undefined, 1],
    ["250ms", 250],
    ["5s", 5000],
    ["1.5m", 90_000],
    ["12h", 43_200_000],
    ["7d", 604_800_000],
    ["8d", "refused"],
    ["5", "refused"],
    ["-5s", "refused"],
    ["5 parsecs", "refused"],
    ["0.0001ms", "refused"],
    ["5constructor", "refused"],
  ],
);

table("parseBytes", (text) => config.parseBytes("B", text, { min: 1 }), [
  ["512", 512],
  ["64KiB", 65_536],
  ["1.5 MiB", 1_572_864],
  ["1GB", 1_000_000_000],
  ["0", "refused"],
  ["1TB", "refused"],
  [undefined, "refused"],
]);

table("parseBoolean", (text) => config.parseBoolean("F", text, { default: true }), [
  [undefined, true],
  ["TRUE", true],
  ["on", true],
  ["0", false],
  ["no", false],
  ["maybe", "refused"],
]);

const colours = ["red", "blue"] as const;
table("parseEnum", (text) => config.parseEnum("C", text, { values: colours, default: "red" }), [
  [undefined, "red"],
  ["blue", "blue"],
  ["Blue", "refused"],
  ["toString", "refused"],
]);

table("parseList", (text) => config.parseList("L", text, { default: [], max: 3 }), [
  [undefined, []],
  ["a, b,,c ", ["a", "b", "c"]],
  ["a,b,c,d", "refused"],
]);

table("parsePath", (text) => config.parsePath("P", text, { default: "data", base: "/srv" }), [
  [undefined, "/srv/data"],
  ["../other", "/other"],
  ["/abs", "/abs"],
  ["a\0b", "refused"],
]);

table("parseText", (text) => config.parseText("T", text), [
  [" a ", "a"],
  ["  ", "refused"],
]);

test("the error names the variable, what it was and what is expected", () => {
  assert.throws(() => config.parseInteger("PARLEY_PORT", "eighty", { min: 0, max: 65_535 }), {
    name: "ConfigError",
    message: 'PARLEY_PORT is "eighty"; expected a whole number from 0 to 65535',
    variable: "PARLEY_PORT",
    value: "eighty",
  });
  assert.throws(
    () => config.parseDuration("PARLEY_WAIT", undefined),
    /PARLEY_WAIT is not set; expected/,
  );
});

test("a secret is not shown", () => {
  const error = new config.ConfigError("PARLEY_TOKEN", "hush", "a longer one", { secret: true });
  assert.equal(error.message, "PARLEY_TOKEN is set to what cannot be used; expected a longer one");
  assert.equal(error.value, undefined);
});

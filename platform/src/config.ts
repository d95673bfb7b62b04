/**
 * Parsing for the two types and a pure function that every service's `config.ts` is made of: `Env` holds
 * optional strings, `toConfig(env)` calls these and returns checked values. Every function takes the
 * variable's name for the error text, and returns its default for a missing or empty value.
 */
import { isAbsolute, resolve } from "node:path";

/** A variable whose value cannot be used. The message names it, what it was (unless secret), and what is expected. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly variable: string;
  readonly value: string | undefined;
  readonly expected: string;

  constructor(
    variable: string,
    value: string | undefined,
    expected: string,
    options: { readonly secret?: boolean } = {},
  ) {
    const shown = options.secret ? "set to what cannot be used" : JSON.stringify(value);
    const was = value === undefined || value === "" ? "not set" : shown;
    super(`${variable} is ${was}; expected ${expected}`);
    this.variable = variable;
    this.value = options.secret ? undefined : value;
    this.expected = expected;
  }
}

/**
 * A variable that reads well and does not work on this machine: a file that is missing, a port that is taken.
 * The message names it, says what is wrong and what to do, in one line.
 */
export class SettingError extends Error {
  override readonly name = "SettingError";
  readonly variable: string;

  constructor(variable: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.variable = variable;
  }
}

/** Raw variables as a process has them. */
export type Env = Readonly<Record<string, string | undefined>>;

type Text = string | undefined;

const missing = (value: Text): value is undefined | "" =>
  value === undefined || value.trim() === "";

/** The text itself. Throws when it is missing and there is no default. */
export function parseText(
  name: string,
  value: Text,
  options: { readonly default?: string; readonly expected?: string } = {},
): string {
  if (!missing(value)) return value.trim();
  if (options.default !== undefined) return options.default;
  throw new ConfigError(name, value, options.expected ?? "a text");
}

/** A whole number in decimal digits between `min` and `max`, both included. */
export function parseInteger(
  name: string,
  value: Text,
  options: { readonly default?: number; readonly min?: number; readonly max?: number } = {},
): number {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = options;
  const expected = `a whole number${bounds(options.min, options.max, String)}`;
  if (missing(value)) return orDefault(name, value, options.default, expected);
  const number = /^[+-]?\d+$/.test(value.trim()) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number) || number < min || number > max) {
    throw new ConfigError(name, value, expected);
  }
  return number;
}

/** A number such as `0.25` between `min` and `max`, both included. */
export function parseNumber(
  name: string,
  value: Text,
  options: { readonly default?: number; readonly min?: number; readonly max?: number } = {},
): number {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = options;
  const expected = `a number${bounds(options.min, options.max, String)}`;
  if (missing(value)) return orDefault(name, value, options.default, expected);
  const number = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(value.trim()) ? Number(value) : Number.NaN;
  if (!Number.isFinite(number) || number < min || number > max) {
    throw new ConfigError(name, value, expected);
  }
  return number;
}

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A duration such as `250ms`, `5s`, `1.5m`, `12h` or `7d`, in milliseconds; bounds and default too. */
export function parseDuration(
  name: string,
  value: Text,
  options: { readonly default?: number; readonly min?: number; readonly max?: number } = {},
): number {
  const show = (ms: number) => `${ms}ms`;
  const expected = `a duration such as 250ms, 5s, 1m, 12h or 7d${bounds(options.min, options.max, show)}`;
  return parseUnits(name, value, options, DURATION_UNITS, expected);
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  kb: 1000,
  mb: 1000 ** 2,
  gb: 1000 ** 3,
};

/** A size such as `512`, `64KiB`, `16MiB` or `1GB`, in bytes; bounds and default too. */
export function parseBytes(
  name: string,
  value: Text,
  options: { readonly default?: number; readonly min?: number; readonly max?: number } = {},
): number {
  const show = (bytes: number) => `${bytes} bytes`;
  const expected = `a size such as 512, 64KiB or 16MiB${bounds(options.min, options.max, show)}`;
  return parseUnits(name, value, options, BYTE_UNITS, expected);
}

/** `true`, `1`, `yes`, `on` or `false`, `0`, `no`, `off`, in any case. */
export function parseBoolean(
  name: string,
  value: Text,
  options: { readonly default?: boolean } = {},
): boolean {
  const expected = "true or false";
  if (missing(value)) return orDefault(name, value, options.default, expected);
  const text = value.trim().toLowerCase();
  if (["true", "1", "yes", "on"].includes(text)) return true;
  if (["false", "0", "no", "off"].includes(text)) return false;
  throw new ConfigError(name, value, expected);
}

/** One of the given words, exactly. */
export function parseEnum<const T extends string>(
  name: string,
  value: Text,
  options: { readonly values: readonly T[]; readonly default?: T },
): T {
  const expected = `one of ${options.values.join(", ")}`;
  if (missing(value)) return orDefault(name, value, options.default, expected);
  const found = options.values.find((candidate) => candidate === value.trim());
  if (found === undefined) throw new ConfigError(name, value, expected);
  return found;
}

/** Words separated by commas; blanks around them and empty words are dropped. At most `max` (default 1,000). */
export function parseList(
  name: string,
  value: Text,
  options: { readonly default?: readonly string[]; readonly max?: number } = {},
): readonly string[] {
  const { max = 1000 } = options;
  const expected = `at most ${max} words separated by commas`;
  if (missing(value)) return orDefault(name, value, options.default, expected);
  const words = value
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  if (words.length > max) throw new ConfigError(name, value, expected);
  return words;
}

/** A path, made absolute against `base`. Nothing is read: whether it exists is for its user to find out. */
export function parsePath(
  name: string,
  value: Text,
  options: { readonly default?: string; readonly base: string },
): string {
  const text = missing(value) ? orDefault(name, value, options.default, "a path") : value.trim();
  if (text.includes("\0")) throw new ConfigError(name, value, "a path");
  return isAbsolute(text) ? text : resolve(options.base, text);
}

function parseUnits(
  name: string,
  value: Text,
  options: { readonly default?: number; readonly min?: number; readonly max?: number },
  units: Readonly<Record<string, number>>,
  expected: string,
): number {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options;
  if (missing(value)) return orDefault(name, value, options.default, expected);
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/.exec(value.trim().toLowerCase());
  const unit =
    match?.[2] !== undefined && Object.hasOwn(units, match[2]) ? units[match[2]] : undefined;
  const amount = unit === undefined ? Number.NaN : Number(match?.[1]) * unit;
  if (!Number.isSafeInteger(amount) || amount < min || amount > max) {
    throw new ConfigError(name, value, expected);
  }
  return amount;
}

function orDefault<T>(name: string, value: Text, fallback: T | undefined, expected: string): T {
  if (fallback === undefined) throw new ConfigError(name, value, expected);
  return fallback;
}

function bounds(
  min: number | undefined,
  max: number | undefined,
  show: (value: number) => string,
): string {
  if (min !== undefined && max !== undefined) return ` from ${show(min)} to ${show(max)}`;
  if (min !== undefined) return ` of at least ${show(min)}`;
  if (max !== undefined) return ` of at most ${show(max)}`;
  return "";
}

/** Messages as logs may show them, driven by the contract's `sensitivity` option. */
import {
  type DescField,
  type DescMessage,
  getOption,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { Sensitivity, sensitivity } from "@parley/gen/parley/options/v1/sensitivity_pb";

/** Messages inside messages that are shown; deeper ones appear as `[…]`. */
const DEPTH_MAX = 6;
/** Elements of a list or map that are shown. */
const ELEMENTS_MAX = 10;
/** Characters of a text that are shown. */
const TEXT_CHARACTERS_MAX = 200;

export type RedactOptions = {
  /** Shows fields marked personal. Content and secrets are never shown. */
  readonly showPersonal?: boolean;
};

/** A message as a plain object of bounded size, with everything sensitive replaced. */
export function redact(
  schema: DescMessage,
  message: Message,
  options: RedactOptions = {},
): Readonly<Record<string, unknown>> {
  return redactMessage(reflect(schema, message), options.showPersonal === true, 0);
}

function redactMessage(
  message: ReflectMessage,
  showPersonal: boolean,
  depth: number,
): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const field of message.sortedFields) {
    if (!message.isSet(field)) continue;
    shown[field.name] = redactField(message, field, showPersonal, depth);
  }
  return shown;
}

function redactField(
  message: ReflectMessage,
  field: DescField,
  showPersonal: boolean,
  depth: number,
): unknown {
  switch (sensitivityOf(field)) {
    case Sensitivity.SECRET:
      return "[secret]";
    case Sensitivity.CONTENT:
      return `[content ${sizeOf(message.get(field))} bytes]`;
    case Sensitivity.PERSONAL:
      if (!showPersonal) return "[pii]";
  }
  switch (field.fieldKind) {
    case "list":
      return bounded(message.get(field), (item) => redactValue(item, showPersonal, depth));
    case "map": {
      const map = message.get(field);
      const entries = bounded(map, ([key, value]) => [
        String(key),
        redactValue(value, showPersonal, depth),
      ]);
      return entries.length === 0 ? {} : Object.fromEntries(entries.map(asEntry));
    }
    case "enum": {
      const number = message.get(field);
      return field.enum.value[number as number]?.name ?? number;
    }
    default:
      return redactValue(message.get(field), showPersonal, depth);
  }
}

const asEntry = (entry: unknown): [string, unknown] =>
  Array.isArray(entry) ? [String(entry[0]), entry[1]] : ["…", entry];

function bounded<T>(items: Iterable<T>, show: (item: T) => unknown): unknown[] {
  const shown: unknown[] = [];
  let count = 0;
  for (const item of items) {
    if (count++ < ELEMENTS_MAX) shown.push(show(item));
  }
  if (count > ELEMENTS_MAX) shown.push(`[${count - ELEMENTS_MAX} more]`);
  return shown;
}

function redactValue(value: unknown, showPersonal: boolean, depth: number): unknown {
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "string") {
    return value.length <= TEXT_CHARACTERS_MAX ? value : `${value.slice(0, TEXT_CHARACTERS_MAX)}…`;
  }
  if (isReflectMessage(value)) {
    return depth + 1 >= DEPTH_MAX ? "[…]" : redactMessage(value, showPersonal, depth + 1);
  }
  return value;
}

const isReflectMessage = (value: unknown): value is ReflectMessage =>
  typeof value === "object" && value !== null && "sortedFields" in value;

const cache = new WeakMap<DescField, Sensitivity>();

function sensitivityOf(field: DescField): Sensitivity {
  let found = cache.get(field);
  if (found === undefined) {
    found = getOption(field, sensitivity);
    cache.set(field, found);
  }
  return found;
}

const encoder = new TextEncoder();

/** Bytes of content: the length alone tells an operator whether a payload was empty, small or huge. */
function sizeOf(value: unknown): number {
  if (value instanceof Uint8Array) return value.length;
  if (typeof value === "string") return encoder.encode(value).length;
  if (isReflectMessage(value))
    return value.sortedFields.reduce((sum, field) => sum + fieldSize(value, field), 0);
  if (typeof value === "object" && value !== null && Symbol.iterator in value) {
    let sum = 0;
    for (const item of value as Iterable<unknown>)
      sum += sizeOf(Array.isArray(item) ? item[1] : item);
    return sum;
  }
  return 0;
}

function fieldSize(message: ReflectMessage, field: DescField): number {
  if (!message.isSet(field)) return 0;
  const numeric =
    field.fieldKind === "scalar" &&
    field.scalar !== ScalarType.STRING &&
    field.scalar !== ScalarType.BYTES;
  return numeric ? 0 : sizeOf(message.get(field));
}

/**
 * Requests that break one rule of the contract each, made from the rules: for each field of a request, and of the
 * messages in it, one value per way to be wrong. A kind of rule that nothing here knows how to break is an error, so
 * that no rule of the contract escapes.
 */
import {
  create,
  type DescField,
  type DescMessage,
  type DescOneof,
  getOption,
  hasOption,
  isFieldSet,
  isMessage,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import {
  type Duration,
  DurationSchema,
  type Timestamp,
  TimestampSchema,
} from "@bufbuild/protobuf/wkt";
import {
  BytesRulesSchema,
  type FieldRules,
  message as messageRules,
  oneof as oneofRules,
  RepeatedRulesSchema,
  StringRulesSchema,
} from "@parley/gen/buf/validate/validate_pb";
import { type Ids, ignoresZero, rulesOf, sampleItem, sampleMessage } from "./malformed-samples.ts";

export type BrokenRequest = {
  /** The field that must be named, as a path such as `user_ids[1]`. */
  readonly path: string;
  /** How it is wrong, for the test's name. */
  readonly how: string;
  readonly message: Message;
};

type Breakage = {
  readonly path: string;
  readonly how: string;
  readonly apply: (message: ReflectMessage) => void;
};

const UNKNOWN_ENUM_VALUES = [9_999, -1];

/** Everything that can be wrong with a request, one thing at a time. */
export function brokenRequests(desc: DescMessage, ids: Ids): BrokenRequest[] {
  return toRequests(desc, ids, breakagesOf(desc, ids, breakagesOfField, breakagesOfOneof));
}

/** Requests that no rule forbids, with values as far out as they go: each must be answered in a defined way. */
export function extremeRequests(desc: DescMessage, ids: Ids): BrokenRequest[] {
  return toRequests(
    desc,
    ids,
    breakagesOf(desc, ids, extremesOfField, () => []),
  );
}

function toRequests(desc: DescMessage, ids: Ids, breakages: readonly Breakage[]): BrokenRequest[] {
  return breakages.map(({ path, how, apply }) => {
    const message = reflect(desc, sampleMessage(desc, ids));
    apply(message);
    return { path, how, message: message.message };
  });
}

type OfField = (field: DescField, ids: Ids) => Breakage[];
type OfOneof = (oneof: DescOneof) => Breakage[];

function breakagesOf(desc: DescMessage, ids: Ids, ofField: OfField, ofOneof: OfOneof): Breakage[] {
  if (hasOption(desc, messageRules)) {
    throw new Error(`${desc.typeName}: no way to break rules of a whole message is known`);
  }
  return [
    ...desc.oneofs.flatMap(ofOneof),
    ...desc.fields.flatMap((field) => [
      ...ofField(field, ids),
      ...breakagesInside(field, ids, ofField, ofOneof),
    ]),
  ];
}

function breakagesOfOneof(oneof: DescOneof): Breakage[] {
  if (!hasOption(oneof, oneofRules) || !getOption(oneof, oneofRules).required) return [];
  const apply = (message: ReflectMessage) => {
    for (const field of oneof.fields) message.clear(field);
  };
  return [{ path: oneof.name, how: "not set", apply }];
}

/** What can be wrong within the messages that a field holds. */
function breakagesInside(
  field: DescField,
  ids: Ids,
  ofField: OfField,
  ofOneof: OfOneof,
): Breakage[] {
  const inner = field.message;
  // Messages of Google's have no rules of ours.
  if (!inner?.typeName.startsWith("parley.")) return [];
  const isList = field.fieldKind === "list";
  return breakagesOf(inner, ids, ofField, ofOneof).map(({ path, how, apply }) => ({
    path: `${field.name}${isList ? "[0]" : ""}.${path}`,
    how,
    apply(message) {
      const value = reflect(inner, sampleMessage(inner, ids));
      apply(value);
      if (field.fieldKind === "list") {
        message.clear(field);
        message.get(field).add(value);
      } else if (field.fieldKind === "message") message.set(field, value);
    },
  }));
}

function breakagesOfField(field: DescField, ids: Ids): Breakage[] {
  const rules = rulesOf(field);
  if (rules === undefined) return [];
  if (rules.cel.length > 0 || rules.celExpression.length > 0) {
    throw new Error(`${field.toString()}: no way to break CEL rules is known`);
  }
  const required: Breakage[] = rules.required
    ? [{ path: field.name, how: "not set", apply: (message) => message.clear(field) }]
    : [];
  if (field.fieldKind === "list") return [...required, ...breakagesOfList(field, rules, ids)];
  const single = valuesBreaking(rules).map(({ how, value }) => ({
    path: field.name,
    how,
    apply(message: ReflectMessage) {
      message.set(field, isMessage(value) ? reflect(DurationSchema, value as Duration) : value);
    },
  }));
  return [...required, ...single];
}

function breakagesOfList(
  field: DescField & { fieldKind: "list" },
  rules: FieldRules,
  ids: Ids,
): Breakage[] {
  if (rules.type.case !== "repeated") throw new Error(`${field.toString()}: not rules of a list`);
  const { minItems, maxItems, items, unique } = rules.type.value;
  if (unique) throw new Error(`${field.toString()}: no way to break \`unique\` is known`);
  const ofLength = (count: number, how: string): Breakage => ({
    path: field.name,
    how,
    apply(message) {
      message.clear(field);
      const list = message.get(field);
      for (let at = 0; at < count; at += 1) list.add(sampleItem(field, ids));
    },
  });
  const found: Breakage[] = [];
  if (minItems > 0n) found.push(ofLength(Number(minItems) - 1, "too few items"));
  if (isFieldSet(rules.type.value, RepeatedRulesSchema.field.maxItems)) {
    found.push(ofLength(Number(maxItems) + 1, "too many items"));
  }
  if (items === undefined) return found;
  const wrongItems = valuesBreaking(items).map(({ how, value }) => ({
    path: `${field.name}[1]`,
    how: `an item ${how}`,
    apply(message: ReflectMessage) {
      message.clear(field);
      const list = message.get(field);
      list.add(sampleItem(field, ids));
      list.add(value);
    },
  }));
  return [...found, ...wrongItems];
}

type Wrong = { readonly how: string; readonly value: unknown };

/** One value per way to break the rules of a single value. */
function valuesBreaking(rules: FieldRules): Wrong[] {
  const { type } = rules;
  const found = ((): Wrong[] => {
    switch (type.case) {
      case "string":
        return stringsBreaking(type.value);
      case "bytes":
        return bytesBreaking(type.value);
      case "enum":
        return [
          ...type.value.notIn.map((value) => ({ how: `the refused ${value}`, value })),
          ...(type.value.definedOnly ? UNKNOWN_ENUM_VALUES : []).map((value) => ({
            how: `the unknown ${value}`,
            value,
          })),
        ];
      case "uint32":
        if (type.value.lessThan.case !== "lte") break;
        return [
          { how: "one too high", value: type.value.lessThan.value + 1 },
          { how: "as high as it goes", value: 0xffff_ffff },
        ];
      case "duration":
        return durationsBreaking(type.value);
      case undefined:
        if (rules.required) return [];
        break;
    }
    throw new Error(`no way to break rules of ${type.case} is known`);
  })();
  return ignoresZero(rules) ? found.filter(({ value }) => value !== "" && value !== 0) : found;
}

type RulesOf<Case> = Extract<FieldRules["type"], { case: Case }>["value"];

function stringsBreaking(rules: RulesOf<"string">): Wrong[] {
  const found: Wrong[] = [];
  const has = (name: keyof typeof StringRulesSchema.field) =>
    isFieldSet(rules, StringRulesSchema.field[name]);
  if (rules.wellKnown.case === "uuid") {
    const uuid = "018f4e2a-7c31-7b0e-9b5e-0123456789ab";
    for (const value of ["", "not-a-uuid", `${uuid} `, uuid.slice(1), `{${uuid}}`, `\u0000${uuid}`])
      found.push({ how: `${JSON.stringify(value)} for a UUID`, value });
  } else if (rules.wellKnown.case !== undefined) {
    throw new Error(`no way to break ${rules.wellKnown.case} is known`);
  }
  if (has("minLen") && rules.minLen > 0n)
    found.push({ how: "too short", value: "a".repeat(Number(rules.minLen) - 1) });
  if (has("maxLen")) {
    found.push({ how: "too long", value: "a".repeat(Number(rules.maxLen) + 1) });
    found.push({ how: "too long, in emoji", value: "🦜".repeat(Number(rules.maxLen) + 1) });
  }
  if (has("maxBytes"))
    found.push({ how: "too many bytes", value: "é".repeat(Number(rules.maxBytes) / 2 + 1) });
  if (rules.pattern !== "") {
    const pattern = new RegExp(rules.pattern, "u");
    const wrong = ["", " ", "é", "a".repeat(1_000), "\u0000", "../../etc", "a\nb"];
    for (const value of wrong.filter((value) => !pattern.test(value)))
      found.push({ how: `${JSON.stringify(value.slice(0, 12))} against the pattern`, value });
  }
  return found;
}

function bytesBreaking(rules: RulesOf<"bytes">): Wrong[] {
  const found: Wrong[] = [];
  if (rules.minLen > 0n)
    found.push({ how: "too short", value: new Uint8Array(Number(rules.minLen) - 1) });
  if (isFieldSet(rules, BytesRulesSchema.field.maxLen))
    found.push({ how: "too long", value: new Uint8Array(Number(rules.maxLen) + 1) });
  return found;
}

function durationsBreaking(rules: RulesOf<"duration">): Wrong[] {
  const of = (seconds: bigint, nanos = 0) => create(DurationSchema, { seconds, nanos });
  const found: Wrong[] = [];
  if (rules.greaterThan.case === "gte") {
    const { seconds } = rules.greaterThan.value;
    if (seconds === 0n) found.push({ how: "a nanosecond too short", value: of(0n, -1) });
    found.push({ how: "a second too short", value: of(seconds - 1n) });
    found.push({ how: "far too short", value: of(-315_576_000_000n) });
  }
  if (rules.lessThan.case === "lte") {
    const { seconds } = rules.lessThan.value;
    found.push({ how: "a nanosecond too long", value: of(seconds, 1) });
    found.push({ how: "far too long", value: of(315_576_000_000n) });
  }
  return found;
}

const extremeTimes = [
  { how: "the year 10000", seconds: 253_402_300_800n, nanos: 0 },
  { how: "before the year 1", seconds: -62_135_596_801n, nanos: 0 },
  { how: "a time beyond everything", seconds: (1n << 63n) - 1n, nanos: 999_999_999 },
  { how: "a time before everything", seconds: -(1n << 63n), nanos: 0 },
  { how: "negative nanoseconds", seconds: 1n, nanos: -1 },
];
/** What breaks queries, patterns, terminals and cursors that are put together from text. */
const extremeTexts = [
  "\u0000",
  "%_%",
  "'; DROP TABLE users; --",
  "\\",
  "\u202e\u200b",
  "AAAA",
  "🦜",
];

function extremesOfField(field: DescField): Breakage[] {
  const { name } = field;
  const set = (how: string, value: unknown): Breakage => ({
    path: name,
    how,
    apply: (message) => message.set(field, value),
  });
  if (field.fieldKind === "message" && field.message.typeName === TimestampSchema.typeName) {
    return extremeTimes.map(({ how, seconds, nanos }) => {
      const time: Timestamp = create(TimestampSchema, { seconds, nanos });
      return set(how, reflect(TimestampSchema, time));
    });
  }
  if (field.fieldKind !== "scalar") return [];
  const rules = rulesOf(field)?.type;
  switch (field.scalar) {
    case ScalarType.UINT64:
      return [set("2^64 - 1", (1n << 64n) - 1n), set("2^63", 1n << 63n)];
    case ScalarType.UINT32:
      return rules === undefined ? [set("2^32 - 1", 0xffff_ffff)] : [];
    case ScalarType.STRING:
      if (rules?.case !== "string" || rules.value.wellKnown.case || rules.value.pattern) return [];
      if (rules.value.minLen > 1n) return [];
      return extremeTexts.map((text) => set(JSON.stringify(text), text));
    default:
      return [];
  }
}

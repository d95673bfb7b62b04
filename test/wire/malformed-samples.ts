/** Values that satisfy the contract's `buf.validate` rules, made from the rules themselves. */
import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import {
  type FieldRules,
  field as fieldRules,
  Ignore,
  oneof as oneofRules,
} from "@parley/gen/buf/validate/validate_pb";

/** Names a UUID for a field, so that a request reaches a conversation or a person that exists. */
export type Ids = (fieldName: string) => string;

const SAMPLE_LENGTHS_MAX = 64; // longer patterns than any of the contract's

export function rulesOf(field: DescField): FieldRules | undefined {
  return hasOption(field, fieldRules) ? getOption(field, fieldRules) : undefined;
}

/** True if an empty value is as good as none. */
export function ignoresZero(rules: FieldRules | undefined): boolean {
  return rules?.ignore === Ignore.IF_ZERO_VALUE;
}

/** A message that satisfies every rule, with nothing set that no rule asks for. */
export function sampleMessage(desc: DescMessage, ids: Ids): Message {
  const message = reflect(desc, create(desc));
  for (const field of desc.fields) {
    if (field.oneof === undefined && isNeeded(field)) setSample(message, field, ids);
  }
  for (const oneof of desc.oneofs) {
    const [first] = oneof.fields;
    const needed = hasOption(oneof, oneofRules) && getOption(oneof, oneofRules).required;
    if (needed && first) setSample(message, first, ids);
  }
  return message.message;
}

/** Sets a field to a value that satisfies its rules. */
export function setSample(message: ReflectMessage, field: DescField, ids: Ids): void {
  switch (field.fieldKind) {
    case "list": {
      const list = message.get(field);
      const count = Math.max(1, Number(listRulesOf(field)?.minItems ?? 0));
      for (let at = 0; at < count; at += 1) list.add(sampleItem(field, ids));
      return;
    }
    case "message":
      message.set(field, reflect(field.message, sampleMessage(field.message, ids)));
      return;
    case "enum":
      message.set(field, sampleEnum(field.enum, rulesOf(field)));
      return;
    case "scalar":
      message.set(field, sampleScalar(field.name, field.scalar, rulesOf(field), ids));
      return;
    default:
      throw new Error(`${field.toString()}: no sample of a ${field.fieldKind} is known`);
  }
}

export function listRulesOf(field: DescField) {
  const rules = rulesOf(field);
  if (rules === undefined) return undefined;
  if (rules.type.case !== "repeated") throw new Error(`${field.toString()}: not rules of a list`);
  return rules.type.value;
}

/** One item of a list that satisfies the rules of items. */
export function sampleItem(field: DescField & { fieldKind: "list" }, ids: Ids) {
  if (field.listKind === "message") {
    return reflect(field.message, sampleMessage(field.message, ids));
  }
  const rules = listRulesOf(field)?.items;
  if (field.listKind === "enum") return sampleEnum(field.enum, rules);
  return sampleScalar(field.name, field.scalar, rules, ids);
}

function isNeeded(field: DescField): boolean {
  const rules = rulesOf(field);
  if (rules === undefined || ignoresZero(rules)) return false;
  if (rules.required) return true;
  switch (rules.type.case) {
    case "string":
      return isChecked(field) && !satisfiesEmpty(rules.type.value);
    case "bytes":
      return isChecked(field) && rules.type.value.minLen > 0n;
    case "enum":
      return isChecked(field) && rules.type.value.notIn.includes(0);
    case "repeated":
      return rules.type.value.minItems > 0n;
    default:
      return false;
  }
}

/** Without presence an empty value is a value, and is checked. */
function isChecked(field: DescField): boolean {
  return field.presence === FeatureSet_FieldPresence.IMPLICIT;
}

function satisfiesEmpty({ wellKnown, minLen, pattern }: StringRules): boolean {
  return wellKnown.case === undefined && minLen === 0n && new RegExp(pattern, "u").test("");
}

function sampleEnum(desc: DescEnum, rules: FieldRules | undefined): number {
  const refused = rules?.type.case === "enum" ? rules.type.value.notIn : [];
  const found = desc.values.find((value) => !refused.includes(value.number));
  if (found === undefined) throw new Error(`${desc.typeName} has no value that is allowed`);
  return found.number;
}

function sampleScalar(name: string, scalar: ScalarType, rules: FieldRules | undefined, ids: Ids) {
  const type = rules?.type;
  switch (type?.case) {
    case "string":
      return sampleString(name, type.value, ids);
    case "bytes":
      return new Uint8Array(Math.max(1, Number(type.value.minLen))).fill(1);
    case "uint32":
      return 0;
    case undefined:
      return zeroOf(name, scalar);
    default:
      throw new Error(`${name}: no sample for rules of ${type?.case} is known`);
  }
}

type StringRules = Extract<FieldRules["type"], { case: "string" }>["value"];

function sampleString(name: string, rules: StringRules, ids: Ids): string {
  if (rules.wellKnown.case === "uuid") return ids(name);
  const pattern = rules.pattern === "" ? undefined : new RegExp(rules.pattern, "u");
  for (let length = Math.max(1, Number(rules.minLen)); length <= SAMPLE_LENGTHS_MAX; length += 1) {
    const sample = "a".repeat(length);
    if (pattern === undefined || pattern.test(sample)) return sample;
  }
  throw new Error(`${name}: no sample of ${rules.pattern} was found`);
}

const zeros: Partial<Record<ScalarType, boolean | string | number | bigint>> = {
  [ScalarType.BOOL]: false,
  [ScalarType.STRING]: "",
  [ScalarType.UINT32]: 0,
  [ScalarType.UINT64]: 0n,
};

function zeroOf(name: string, scalar: ScalarType) {
  const zero = zeros[scalar];
  if (zero === undefined) throw new Error(`${name}: no sample of scalar ${scalar} is known`);
  return zero;
}

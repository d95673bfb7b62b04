/** Requests that are no requests: bytes, headers and methods that no client of ours would send, per RPC and road. */
import { brotliCompressSync, gzipSync } from "node:zlib";
import { type DescMethod, type Message, toBinary, toJsonString } from "@bufbuild/protobuf";
import {
  contentTypeOf,
  envelope,
  isEnveloped,
  pathOf,
  type RawAnswer,
  type RawCall,
  type Road,
} from "./raw-call.ts";

export type MalformedCall = {
  readonly name: string;
  readonly version: 1 | 2;
  readonly call: RawCall;
  /** Codes that are right, beside a plain HTTP refusal; any refusal that is the client's fault if not given. */
  readonly codes?: readonly string[];
};

/** The gateway's bound of one request message, which no test can learn from the contract. */
const READ_BYTES_MAX = 2 * 1024 * 1024;
const BOMB_BYTES = 64 * 1024 * 1024;

const bombs = {
  gzip: gzipSync(Buffer.alloc(BOMB_BYTES)),
  br: brotliCompressSync(Buffer.alloc(BOMB_BYTES)),
};
const binaryRoads = ["connect-binary", "grpc", "grpc-web"] as const;

/** Bidirectional streams exist on HTTP/2 only, and so does gRPC. */
export function versionOf(road: Road, method: DescMethod): 1 | 2 {
  return road === "grpc" || method.methodKind === "bidi_streaming" ? 2 : 1;
}

/** A message's bytes as the road carries them. */
function bodyOf(road: Road, method: DescMethod, message: Uint8Array): Uint8Array {
  return isEnveloped(road, method) ? envelope(message) : message;
}

function post(
  road: Road,
  method: DescMethod,
  body: Uint8Array | undefined,
  headers: Record<string, string> = {},
): Pick<MalformedCall, "version" | "call"> {
  const contentType = contentTypeOf(road, method);
  const grpc: Record<string, string> = road === "grpc" ? { te: "trailers" } : {};
  return {
    version: versionOf(road, method),
    call: {
      path: pathOf(method),
      headers: { "content-type": contentType, ...grpc, ...headers },
      body,
      session: method.methodKind !== "unary",
    },
  };
}

/** Everything malformed that is known, for one RPC. */
export function malformedCalls(method: DescMethod, sample: Message): MalformedCall[] {
  return [
    ...brokenJson(method),
    ...brokenBinary(method, sample),
    ...brokenEnvelopes(method),
    ...wrongContentTypes(method),
    ...wrongMethods(method),
    ...tooLarge(method),
    ...wrongHeaders(method, sample),
  ];
}

function brokenJson(method: DescMethod): MalformedCall[] {
  const texts: Record<string, string | Uint8Array> = {
    nothing: "",
    "an open brace": "{",
    "half a word": "nul",
    null: "null",
    "a list": "[]",
    "a string": '"text"',
    "a number": "42",
    "bytes that are no UTF-8": Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22]),
    "a hundred thousand brackets": "[".repeat(100_000),
    "a second value": "{} {}",
    "a trailing comma": '{"a":1,}',
  };
  for (const field of method.input.fields) {
    const wrong = field.fieldKind === "message" ? '"text"' : '{"a":[]}';
    texts[`${field.jsonName} of another type`] = `{"${field.jsonName}":${wrong}}`;
    texts[`${field.jsonName} twice`] = `{"${field.jsonName}":${wrong},"${field.name}":${wrong}}`;
  }
  return Object.entries(texts).map(([name, json]) => ({
    name: `JSON: ${name}`,
    ...post("connect-json", method, bodyOf("connect-json", method, Buffer.from(json))),
    codes: ["invalid_argument"],
  }));
}

/** The tag of field 1000, which no message has: known fields are read by their own type, whatever a tag says. */
function unknownField(wireType: number): [number, number] {
  return [0xc0 | wireType, 0x3e];
}

function brokenBinary(method: DescMethod, sample: Message): MalformedCall[] {
  const whole = toBinary(method.input, sample);
  const bytes: Record<string, Uint8Array> = {
    "a length beyond the end": Buffer.from([0x0a, 0x7f, 0x61]),
    "a length of 2^31": Buffer.from([...unknownField(2), 0xff, 0xff, 0xff, 0xff, 0x07]),
    "a tag without a value": Buffer.from([0x08]),
    "a number that does not end": Buffer.alloc(11, 0x88),
    "an unknown wire type": Buffer.from([0x0f, 0x00]),
    "field number 0": Buffer.from([0x02, 0x00]),
    "the end of no group": Buffer.from(unknownField(4)),
    "a group that does not end": Buffer.from([...unknownField(3), 0x08, 0x01]),
    "a hundred thousand groups": Buffer.alloc(200_000, Buffer.from(unknownField(3))),
    "a string that is no UTF-8": Buffer.from([0x0a, 0x02, 0xff, 0xfe]),
  };
  if (whole.length > 0) bytes["the last byte missing"] = whole.subarray(0, -1);
  return binaryRoads.flatMap((road) =>
    Object.entries(bytes)
      .filter(([name]) => !name.startsWith("a string") || method.input.fields[0]?.number === 1)
      .map(([name, message]) => ({
        name: `${road}: ${name}`,
        ...post(road, method, bodyOf(road, method, message)),
        codes: ["invalid_argument"],
      })),
  );
}

function brokenEnvelopes(method: DescMethod): MalformedCall[] {
  const nothing = new Uint8Array();
  const envelopes: Record<string, Uint8Array> = {
    "no envelope": nothing,
    "half an envelope": Buffer.from([0, 0, 0]),
    "an envelope longer than the body": envelope(nothing, 0, 1000),
    "an envelope of 4 GiB": envelope(nothing, 0, 0xffff_ffff),
    "compressed with nothing": envelope(Buffer.from([1, 2, 3]), 1),
    "flags that nobody knows": envelope(nothing, 0xfd),
  };
  const all = (["connect-json", "connect-binary", "grpc", "grpc-web"] as const).filter((road) =>
    isEnveloped(road, method),
  );
  return all.flatMap((road) =>
    Object.entries(envelopes).map(([name, body]) => ({
      name: `${road}: ${name}`,
      ...post(road, method, body),
    })),
  );
}

function wrongContentTypes(method: DescMethod): MalformedCall[] {
  const other = method.methodKind === "unary" ? "application/connect+json" : "application/json";
  const types = [
    "",
    "text/plain",
    "application/xml",
    "application/grpc+xml",
    "application/octet-stream",
    "multipart/form-data; boundary=x",
    "application/json/json",
    other,
  ];
  const { version } = post("connect-json", method, undefined);
  return types.map((type) => ({
    name: `content type ${JSON.stringify(type)}`,
    version,
    call: {
      path: pathOf(method),
      headers: type === "" ? {} : { "content-type": type },
      body: Buffer.from("{}"),
    },
  }));
}

function wrongMethods(method: DescMethod): MalformedCall[] {
  const path = pathOf(method);
  const { version } = post("connect-json", method, undefined);
  const headers = { "content-type": contentTypeOf("connect-json", method) };
  const methods = ["PUT", "PATCH", "DELETE", "HEAD", "TRACE"].map((name) => ({
    name: `method ${name}`,
    version,
    call: { path, method: name, headers, body: undefined },
  }));
  const queries: Record<string, string> = {
    "no query": "",
    "no encoding": "?connect=v1&message=%7B%7D",
    "an unknown encoding": "?connect=v1&encoding=xml&message=%7B%7D",
    "broken JSON": "?connect=v1&encoding=json&message=%7B",
    "broken base64": "?connect=v1&encoding=proto&base64=1&message=!!!!",
    "truncated Protobuf": "?connect=v1&encoding=proto&base64=1&message=wj5_",
    "an unknown compression": "?connect=v1&encoding=json&compression=zzz&message=%7B%7D",
  };
  const gets = Object.entries(queries).map(([name, query]) => ({
    name: `GET with ${name}`,
    version,
    call: { path: path + query, method: "GET", headers: {}, body: undefined },
  }));
  return [...methods, ...gets];
}

function tooLarge(method: DescMethod): MalformedCall[] {
  const spaces = Buffer.alloc(READ_BYTES_MAX + 1, " ");
  const codes = ["resource_exhausted"];
  const found: MalformedCall[] = [];
  for (const road of ["connect-json", ...binaryRoads] as const) {
    found.push({
      name: `${road}: a body above the limit`,
      ...post(road, method, bodyOf(road, method, spaces)),
      codes,
    });
    const enveloped = isEnveloped(road, method);
    const encodingHeader = !enveloped
      ? "content-encoding"
      : road === "grpc" || road === "grpc-web"
        ? "grpc-encoding"
        : "connect-content-encoding";
    for (const [encoding, bomb] of Object.entries(bombs)) {
      found.push({
        name: `${road}: 64 MiB of nothing as ${encoding}`,
        ...post(road, method, enveloped ? envelope(bomb, 1) : bomb, { [encodingHeader]: encoding }),
        codes,
      });
    }
    const broken = {
      garbage: Buffer.from("no gzip at all"),
      "half of it": bombs.gzip.subarray(0, 40),
    };
    for (const [name, bytes] of Object.entries(broken)) {
      found.push({
        name: `${road}: ${name} as gzip`,
        ...post(road, method, enveloped ? envelope(bytes, 1) : bytes, { [encodingHeader]: "gzip" }),
        codes: ["invalid_argument"],
      });
    }
    found.push({
      name: `${road}: an unknown compression`,
      ...post(road, method, bodyOf(road, method, Buffer.from("{}")), { [encodingHeader]: "zzz" }),
      codes: ["unimplemented"],
    });
  }
  return found;
}

function wrongHeaders(method: DescMethod, sample: Message): MalformedCall[] {
  const json = bodyOf("connect-json", method, Buffer.from(toJsonString(method.input, sample)));
  const binary = bodyOf("grpc", method, toBinary(method.input, sample));
  const connect = (name: string, headers: Record<string, string>, codes?: readonly string[]) => ({
    name: `connect-json: ${name}`,
    ...post("connect-json", method, json, headers),
    ...(codes ? { codes } : {}),
  });
  const grpc = (name: string, headers: Record<string, string>, codes?: readonly string[]) => ({
    name: `grpc: ${name}`,
    ...post("grpc", method, binary, headers),
    ...(codes ? { codes } : {}),
  });
  const many = Object.fromEntries(
    Array.from({ length: 300 }, (_, at) => [`x-header-${at}`, "x".repeat(80)]),
  );
  const fault = ["invalid_argument"];
  return [
    connect("a deadline in words", { "connect-timeout-ms": "soon" }, fault),
    connect("a negative deadline", { "connect-timeout-ms": "-5" }, fault),
    connect("a deadline of 300 years", { "connect-timeout-ms": "9999999999" }, fault),
    grpc("a deadline in words", { "grpc-timeout": "soon" }, fault),
    grpc("a deadline of 11,000 years", { "grpc-timeout": "99999999H" }, fault),
    ...(versionOf("connect-json", method) === 1
      ? [
          connect("a header of 64 KiB", { "x-long": "x".repeat(64 * 1024) }),
          connect("300 headers", many),
        ]
      : []),
  ];
}

const faultsOfOurs = new Set(["internal", "unknown", "data_loss", "ok"]);

/** What is wrong with an answer to something malformed; undefined if it is a refusal that names the client's fault. */
export function faultOf(
  answer: RawAnswer,
  codes: readonly string[] | undefined,
): string | undefined {
  const { status, code, detail } = answer;
  const said = `${status} ${code ?? "without a code"} ${detail}`;
  if (status === 0) return `the connection ended: ${detail}`;
  if (code === undefined) {
    const refused = (status >= 400 && status < 500) || status === 505;
    return refused && codes === undefined ? undefined : said;
  }
  if (faultsOfOurs.has(code)) return said;
  // A session that has begun to speak says so in a frame.
  if (code.startsWith("goodbye")) return code === "goodbye PROTOCOL_ERROR" ? undefined : said;
  return codes === undefined || codes.includes(code)
    ? undefined
    : `${said}, expected ${codes.join(" or ")}`;
}

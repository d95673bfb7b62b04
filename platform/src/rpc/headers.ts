/** Metadata that Parley's own hosts exchange with each other, and its translation for grpc-js. */
import { Metadata } from "@grpc/grpc-js";
import type { Caller } from "./caller.ts";

/** Proves that the connection's other end is a part of the same deployment. */
export const SERVICE_TOKEN_HEADER = "parley-service-token";
/** On whose behalf the call is made, as JSON; believed only beside a valid service token. */
export const CALLER_HEADER = "parley-caller-bin";
/** The address of the client at the edge; believed only beside a valid service token. */
export const PEER_ADDRESS_HEADER = "parley-peer-address";
/** W3C Trace Context. */
export const TRACE_PARENT_HEADER = "traceparent";

const encoder = new TextEncoder();

export function encodeCaller(caller: Caller): Buffer {
  return Buffer.from(encoder.encode(JSON.stringify(caller)));
}

/** The caller in a header's bytes; undefined for anything that is not exactly a caller. */
export function decodeCaller(bytes: Uint8Array): Caller | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || !("kind" in value)) return undefined;
  const fields = value as Readonly<Record<string, unknown>> & { readonly kind: unknown };
  switch (fields.kind) {
    case "public":
      return { kind: "public" };
    case "operator":
      return { kind: "operator" };
    case "internal": {
      const { service } = value as { service?: unknown };
      return typeof service === "string" ? { kind: "internal", service } : undefined;
    }
    case "device": {
      const { userId, deviceId, expireTimeMs } = value as Readonly<Record<string, unknown>> & {
        readonly userId?: unknown;
        readonly deviceId?: unknown;
        readonly expireTimeMs?: unknown;
      };
      if (typeof userId !== "string" || typeof deviceId !== "string") return undefined;
      if (typeof expireTimeMs !== "number") return undefined;
      return { kind: "device", userId, deviceId, expireTimeMs };
    }
    default:
      return undefined;
  }
}

/** Metadata as fetch headers; binary values become base64, as connect has them. */
export function toHeaders(metadata: Metadata): Headers {
  const headers = new Headers();
  for (const name of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(name)) {
      headers.append(name, typeof value === "string" ? value : encodeBinary(value));
    }
  }
  return headers;
}

/** Fetch headers as metadata; base64 values of `-bin` names become bytes. */
export function toMetadata(headers: Headers, metadata: Metadata = new Metadata()): Metadata {
  headers.forEach((value, name) => {
    if (name.endsWith("-bin")) {
      for (const part of value.split(",")) metadata.add(name, Buffer.from(part.trim(), "base64"));
    } else {
      metadata.add(name, value);
    }
  });
  return metadata;
}

// Without padding, as the gRPC specification wants it; readers accept both.
const encodeBinary = (bytes: Buffer) => bytes.toString("base64").replace(/=+$/, "");

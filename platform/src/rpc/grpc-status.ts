/** Refusals as gRPC statuses with details, and back. */
import { Code, ConnectError } from "@connectrpc/connect";
import { findTrailerError, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { Metadata, type ServiceError, type StatusObject } from "@grpc/grpc-js";
import { canceled, deadlineExceeded, fromUnknown, internal, unavailable } from "../errors.ts";
import { toHeaders, toMetadata } from "./headers.ts";

const STATUS_HEADERS = ["grpc-status", "grpc-message"];
const DETAILS_HEADER = "grpc-status-details-bin";

/** A refusal as grpc-js sends it; its details go as `grpc-status-details-bin`, its cause stays here. */
export function toStatusObject(error: ConnectError, trailer: Headers | undefined): StatusObject {
  const headers = setTrailerStatus(new Headers(trailer), error);
  for (const name of STATUS_HEADERS) headers.delete(name);
  return {
    code: error.code as number,
    details: error.rawMessage,
    metadata: toMetadata(headers, new Metadata()),
  };
}

/** Why this side canceled a call; undefined when it did not. */
export type CancelReason = { readonly reason: unknown } | undefined;

/** What grpc-js reports about a call that failed, as the refusal that the other side sent. */
export function fromServiceError(error: unknown, canceledHere: CancelReason): ConnectError {
  if (!isServiceError(error)) return fromUnknown(error);
  const headers = toHeaders(error.metadata ?? new Metadata());
  if (headers.has(DETAILS_HEADER)) {
    const refused = findTrailerError(headers);
    if (refused !== undefined) return refused;
  }
  return fromBareStatus(error, headers, canceledHere);
}

/** A status without details: made by grpc-js itself, by a proxy, or by a server that is not Parley's. */
function fromBareStatus(
  error: ServiceError,
  headers: Headers,
  canceledHere: CancelReason,
): ConnectError {
  const gone = () =>
    unavailable("PEER_UNAVAILABLE", "The other server cannot be reached.", { cause: error });
  switch (error.code as number) {
    case Code.Unavailable:
      return gone();
    case Code.DeadlineExceeded:
      return deadlineExceeded();
    case Code.Canceled:
      // By us, or else reset by a server that goes down without a word.
      return canceledHere === undefined ? gone() : canceled(canceledHere.reason);
    case Code.Internal:
    case Code.Unknown:
      return internal(error);
    default:
      return new ConnectError(error.details, error.code as number, headers, undefined, error);
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number";
}

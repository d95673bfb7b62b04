/**
 * Every refusal of Parley, in one file. A refusal is a status code plus `google.rpc.ErrorInfo` with a
 * reason in UPPER_SNAKE_CASE; the code says whose fault it is and what the client does next, the reason
 * says exactly what happened. A `cause` is for the log and never reaches the wire.
 */
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "@parley/gen/google/rpc/error_details_pb";

export { ErrorInfoSchema };

/** The domain of every reason. */
export const ERROR_DOMAIN = "parley";

/** Values a client or an operator needs to understand a refusal; never content, never a secret. */
export type ErrorMetadata = Readonly<Record<string, string>>;

/** One field that does not satisfy the contract. `field` is a path such as `member_ids[3]`. */
export type FieldViolation = { readonly field: string; readonly description: string };

type Details = NonNullable<ConstructorParameters<typeof ConnectError>[3]>;

/** A detail whose descriptor is not enumerable: a printed error would be pages of descriptors otherwise. */
function detail<D extends DescMessage>(desc: D, value: MessageInitShape<D>): Details[number] {
  return Object.defineProperty({ desc, value }, "desc", { value: desc, enumerable: false });
}

function refusal(
  code: Code,
  reason: string,
  description: string,
  options: {
    readonly metadata?: ErrorMetadata | undefined;
    readonly details?: Details;
    readonly retryAfterMs?: number | undefined;
    readonly cause?: unknown;
  } = {},
): ConnectError {
  const info: MessageInitShape<typeof ErrorInfoSchema> = {
    reason,
    domain: ERROR_DOMAIN,
    metadata: { ...options.metadata },
  };
  const details: Details = [detail(ErrorInfoSchema, info)];
  if (options.details !== undefined) details.push(...options.details);
  if (options.retryAfterMs !== undefined) {
    const retryDelay = durationFromMs(Math.max(0, Math.ceil(options.retryAfterMs)));
    details.push(detail(RetryInfoSchema, { retryDelay }));
  }
  return new ConnectError(description, code, undefined, details, options.cause);
}

/**
 * The caller's fault, and always will be: the request breaks the contract whatever the state of the
 * system. The client shows or fixes the named field; repeating the same request is pointless.
 */
export function invalidArgument(
  field: string,
  description: string,
  reason = "INVALID_FIELD",
): ConnectError {
  return invalidFields([{ field, description }], reason);
}

/** `invalidArgument` for several fields at once; the metadata's `field` is the first one. */
export function invalidFields(
  violations: readonly FieldViolation[],
  reason = "INVALID_FIELD",
): ConnectError {
  const first = violations[0];
  const text = violations.map((v) =>
    v.field === "" ? v.description : `${v.field}: ${v.description}`,
  );
  return refusal(Code.InvalidArgument, reason, text.join("; "), {
    metadata: first === undefined ? undefined : { field: first.field },
    details: [detail(BadRequestSchema, { fieldViolations: violations.map((v) => ({ ...v })) })],
  });
}

/** The caller's credentials are missing, expired or revoked. The client refreshes its token or signs in again. */
export function unauthenticated(reason: string, description: string): ConnectError {
  return refusal(Code.Unauthenticated, reason, description);
}

/**
 * The caller is known and may not do this. Signing in again does not help; the client shows the reason.
 * A resource that the caller may not even know about is `notFound` instead.
 */
export function permissionDenied(
  reason: string,
  description: string,
  metadata?: ErrorMetadata,
): ConnectError {
  return refusal(Code.PermissionDenied, reason, description, { metadata });
}

/** The named thing does not exist, or must look so to this caller. The client forgets its reference. */
export function notFound(
  reason: string,
  description: string,
  metadata?: ErrorMetadata,
): ConnectError {
  return refusal(Code.NotFound, reason, description, { metadata });
}

/** The name or key to create is taken. The client chooses another or uses what exists. */
export function alreadyExists(reason: string, description: string): ConnectError {
  return refusal(Code.AlreadyExists, reason, description);
}

/**
 * Valid, but not in the present state (a full group, a closed account). Repeating helps only after the
 * client or somebody else changed that state; the reason says which.
 */
export function failedPrecondition(
  reason: string,
  description: string,
  metadata?: ErrorMetadata,
): ConnectError {
  return refusal(Code.FailedPrecondition, reason, description, { metadata });
}

/**
 * A limit is used up: the caller's (rate, quota) or ours (a full queue). Nothing was done. The client
 * waits `retryAfterMs` (or backs off) and repeats, more slowly.
 */
export function resourceExhausted(
  reason: string,
  description: string,
  options: {
    readonly retryAfterMs?: number | undefined;
    readonly metadata?: ErrorMetadata | undefined;
  } = {},
): ConnectError {
  return refusal(Code.ResourceExhausted, reason, description, options);
}

/** Nobody's fault: a concurrent change won. Nothing was done; the client reads again and repeats at once. */
export function aborted(reason: string, description: string): ConnectError {
  return refusal(Code.Aborted, reason, description);
}

/**
 * Our fault, for now: a part is down, moving or starting. The outcome may be unknown, so the client
 * repeats the same request with the same idempotency key after `retryAfterMs` or with backoff.
 */
export function unavailable(
  reason: string,
  description: string,
  options: { readonly retryAfterMs?: number | undefined; readonly cause?: unknown } = {},
): ConnectError {
  return refusal(Code.Unavailable, reason, description, options);
}

/** The answer did not come in the time given; the outcome is unknown. The client repeats as for `unavailable`. */
export function deadlineExceeded(): ConnectError {
  return refusal(
    Code.DeadlineExceeded,
    "DEADLINE_EXCEEDED",
    "The call took longer than its deadline.",
  );
}

/** The caller went away or said stop. Nobody waits for the answer; the outcome is unknown. */
export function canceled(cause?: unknown): ConnectError {
  return refusal(Code.Canceled, "CANCELED", "The call was canceled.", { cause });
}

/**
 * Our bug. The client shows a general failure and may report it; repeating may meet the same bug. The
 * text on the wire is always the same; what happened is in the log, through `cause`.
 */
export function internal(cause: unknown): ConnectError {
  return refusal(Code.Internal, "INTERNAL", "Something went wrong inside the server.", { cause });
}

/** The reason of a refusal by Parley; undefined for every other error. */
export function reasonOf(error: unknown): string | undefined {
  return errorInfoOf(error)?.reason;
}

/** Reason and metadata of a refusal by Parley; undefined for every other error. */
export function errorInfoOf(
  error: unknown,
): { readonly reason: string; readonly metadata: ErrorMetadata } | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  return error.findDetails(ErrorInfoSchema).find((info) => info.domain === ERROR_DOMAIN);
}

/** How long a refusal asks to wait before repeating, in ms; undefined when it does not say. */
export function retryAfterMsOf(error: unknown): number | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay === undefined ? undefined : Number(delay.seconds) * 1000 + delay.nanos / 1_000_000;
}

/**
 * What a caller is told about a caught value: a `ConnectError` as it is, an abort as canceled, a timeout
 * as deadline exceeded, anything else as `internal` with the value as its cause.
 */
export function fromUnknown(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  if (error instanceof Error && error.name === "AbortError") return canceled(error);
  if (error instanceof Error && error.name === "TimeoutError") return deadlineExceeded();
  return internal(error);
}

/** A refusal as the plain fields that a result inside a batch carries; the cause stays behind. */
export type RefusalFields = {
  /** The gRPC status code. */
  readonly code: number;
  /** Empty for an error that carries none. */
  readonly reason: string;
  readonly description: string;
  /** 0 when the refusal does not say. */
  readonly retryAfterMs: number;
};

/** Takes a refusal apart for a result inside a batch. */
export function toRefusalFields(error: unknown): RefusalFields {
  const refused = fromUnknown(error);
  return {
    code: refused.code,
    reason: reasonOf(refused) ?? "",
    description: refused.rawMessage,
    retryAfterMs: Math.ceil(retryAfterMsOf(refused) ?? 0),
  };
}

/** Puts a refusal from a batch's result together again. An unknown code becomes `internal`. */
export function fromRefusalFields(fields: RefusalFields): ConnectError {
  const retryAfterMs = fields.retryAfterMs > 0 ? fields.retryAfterMs : undefined;
  if (Code[fields.code] === undefined) return internal(new Error(`status code ${fields.code}`));
  return refusal(fields.code, fields.reason, fields.description, { retryAfterMs });
}

import type { Interceptor, UnaryRequest } from "@connectrpc/connect";
import { deadlineExceeded, fromUnknown } from "../../errors.ts";
import { serverCallOf } from "../dispatch.ts";

export type DeadlineOptions = {
  /** For unary calls whose caller set none, in ms. */
  readonly defaultMs: number;
  /** For every unary call, whatever its caller set, in ms. */
  readonly maxMs: number;
};

/** Headers in which the protocols carry a caller's deadline. */
const TIMEOUT_HEADERS = ["grpc-timeout", "connect-timeout-ms"];

/**
 * Gives every unary call a deadline: the caller's, at most `maxMs`, or `defaultMs`. When it passes, the
 * caller is answered even if the handler does not react to its signal. Streams live as long as their
 * caller wants; what bounds them is in their own protocol.
 */
export function deadlineInterceptor(options: DeadlineOptions): Interceptor {
  const { defaultMs, maxMs } = options;
  return (next) => (request) => {
    if (request.stream) return next(request);
    const call = serverCallOf(request);
    if (call === undefined) {
      const given = TIMEOUT_HEADERS.some((name) => request.header.has(name));
      return race(next, request, given ? maxMs : Math.min(defaultMs, maxMs));
    }
    call.limitTimeout(call.timeoutMs() === undefined ? Math.min(defaultMs, maxMs) : maxMs);
    return next(request);
  };
}

type Next = ReturnType<Interceptor>;

/** For a host that leaves a late handler running with its caller waiting. */
function race(next: Next, request: UnaryRequest, timeoutMs: number): ReturnType<Next> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(deadlineExceeded()), timeoutMs);
  const signal = AbortSignal.any([request.signal, late.signal]);
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(fromUnknown(signal.reason)), { once: true });
    next({ ...request, signal })
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}

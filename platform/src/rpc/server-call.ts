/** One call as the in-process and the grpc-js host see it. */
import type { DescMethod } from "@bufbuild/protobuf";
import type { ContextValues, HandlerContext } from "@connectrpc/connect";
import { deadlineExceeded, fromUnknown } from "../errors.ts";
import { forkContextValues } from "./context-values.ts";

export type ServerCallInit = {
  readonly method: DescMethod;
  readonly protocolName: string;
  readonly requestHeader: Headers;
  readonly values: ContextValues | undefined;
  /** The caller's time for this call, in ms; undefined when it set none. */
  readonly timeoutMs: number | undefined;
};

/** Why a finished call's signal aborts. Made once: an error with a stack costs more than a whole call. */
const CALL_FINISHED = new DOMException("The call has finished.", "AbortError");

/** setTimeout's own maximum; a longer deadline is no deadline. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

/**
 * The handler's context and the one place that ends a call early. Headers and the abort controller are
 * made when they are first read, because most calls in process never read them.
 */
export class ServerCall implements HandlerContext {
  readonly method: DescMethod;
  readonly protocolName: string;
  readonly requestMethod = "POST";
  readonly requestHeader: Headers;
  readonly values: ContextValues;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #controller: AbortController | undefined;
  #abortListeners: ((reason: Error) => void)[] | undefined;
  #timer: NodeJS.Timeout | undefined;
  #expireTimeMs: number | undefined;
  #abortReason: Error | undefined;
  #finished = false;

  constructor(init: ServerCallInit) {
    this.method = init.method;
    this.protocolName = init.protocolName;
    this.requestHeader = init.requestHeader;
    this.values = forkContextValues(init.values);
    if (init.timeoutMs !== undefined) this.limitTimeout(init.timeoutMs);
  }

  get service() {
    return this.method.parent;
  }

  get url(): string {
    return `https://in-process/${this.method.parent.typeName}/${this.method.name}`;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  /** Response headers if a handler made any. */
  get responseHeaderIfAny(): Headers | undefined {
    return this.#responseHeader;
  }

  /** Response trailers if a handler made any. */
  get responseTrailerIfAny(): Headers | undefined {
    return this.#responseTrailer;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
      else if (this.#finished) this.#controller.abort(CALL_FINISHED);
    }
    return this.#controller.signal;
  }

  get abortReason(): Error | undefined {
    return this.#abortReason;
  }

  /** Remaining ms until the deadline, if there is one. */
  readonly timeoutMs = (): number | undefined =>
    this.#expireTimeMs === undefined ? undefined : this.#expireTimeMs - performance.now();

  /** Ends the call with `deadlineExceeded` in `timeoutMs` from now, unless it ends earlier anyway. */
  limitTimeout(timeoutMs: number): void {
    if (this.#finished || this.#abortReason !== undefined) return;
    if (!(timeoutMs <= TIMEOUT_MAX_MS)) return;
    const expireTimeMs = performance.now() + timeoutMs;
    if (this.#expireTimeMs !== undefined && this.#expireTimeMs <= expireTimeMs) return;
    this.#expireTimeMs = expireTimeMs;
    clearTimeout(this.#timer);
    if (timeoutMs <= 0) this.abort(deadlineExceeded());
    else this.#timer = setTimeout(() => this.abort(deadlineExceeded()), timeoutMs);
  }

  /**
   * Calls `listener` once, with what the caller is told, when the call ends early; at once if it already
   * has. For the hosts: a listener costs nothing, whereas an abort signal's costs as much as a call.
   */
  onAbort(listener: (reason: Error) => void): void {
    if (this.#abortReason !== undefined) listener(this.#abortReason);
    else if (this.#abortListeners === undefined) this.#abortListeners = [listener];
    else this.#abortListeners.push(listener);
  }

  /** Ends the call early: the caller is told the reason, and the handler's signal aborts. */
  abort(reason: unknown): void {
    if (this.#finished || this.#abortReason !== undefined) return;
    const error = fromUnknown(reason);
    this.#abortReason = error;
    clearTimeout(this.#timer);
    this.#controller?.abort(error);
    for (const listener of this.#abortListeners ?? []) listener(error);
  }

  /** The call has its answer. The handler's signal aborts, so that whatever it started for it stops. */
  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    clearTimeout(this.#timer);
    if (this.#abortReason === undefined) this.#controller?.abort(CALL_FINISHED);
  }
}

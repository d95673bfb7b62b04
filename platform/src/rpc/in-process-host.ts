/** The in-process host: a transport that calls handlers directly. */
import {
  create,
  type DescMessage,
  type DescMethodStreaming,
  type DescMethodUnary,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import type {
  ContextValues,
  Interceptor,
  StreamResponse,
  Transport,
  UnaryResponse,
} from "@connectrpc/connect";
import { createAsyncQueue } from "../async/queue.ts";
import { canceled, fromUnknown } from "../errors.ts";
import { type Caller, callerKey } from "./caller.ts";
import { forkContextValues } from "./context-values.ts";
import { createDispatcher, type Dispatch } from "./dispatch.ts";
import type { Routes } from "./route.ts";
import { ServerCall } from "./server-call.ts";

export type InProcessTransportOptions = {
  readonly routes: Routes;
  readonly interceptors: readonly Interceptor[];
  /**
   * The caller of calls that carry no context values; default public. Calls with context values have the
   * caller in them and no other, so a handler that passes its own values on never gains rights by it.
   */
  readonly asCaller?: Caller;
};

/** Responses a handler may produce ahead of its reader; the counterpart of a network's window. */
const RESPONSES_AHEAD_MAX = 16;

/**
 * Creates the transport. Messages are passed by reference and not copied: what a handler changes in its
 * request changes in the caller's hand, so neither side writes to a message it did not make. Init shapes
 * become messages on both ways. Deadlines, signals, headers and errors are as over a network; context
 * values can be read by the handler, and what it sets stays on its side.
 */
export function createInProcessTransport(options: InProcessTransportOptions): Transport {
  const dispatcher = createDispatcher(options.routes, options.interceptors);
  const defaults =
    options.asCaller === undefined
      ? undefined
      : forkContextValues().set(callerKey, options.asCaller);

  return {
    unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit | undefined,
      input: MessageInitShape<I>,
      contextValues?: ContextValues,
    ): Promise<UnaryResponse<I, O>> {
      const start = () => {
        const dispatch = dispatcher.find(method);
        const call = openCall(method, timeoutMs, header, contextValues ?? defaults);
        return runUnary(dispatch, call, signal, create(method.input, input));
      };
      return attempt(start) as Promise<UnaryResponse<I, O>>;
    },
    stream<I extends DescMessage, O extends DescMessage>(
      method: DescMethodStreaming<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit | undefined,
      input: AsyncIterable<MessageInitShape<I>>,
      contextValues?: ContextValues,
    ): Promise<StreamResponse<I, O>> {
      const start = () => {
        const dispatch = dispatcher.find(method);
        const call = openCall(method, timeoutMs, header, contextValues ?? defaults);
        return runStream(dispatch, call, signal, requestMessages(call, method.input, input));
      };
      return attempt(start) as Promise<StreamResponse<I, O>>;
    },
  };
}

function attempt<T>(start: () => Promise<T>): Promise<T> {
  try {
    return start();
  } catch (error) {
    return Promise.reject(fromUnknown(error));
  }
}

function openCall(
  method: DescMethodUnary | DescMethodStreaming,
  timeoutMs: number | undefined,
  header: HeadersInit | undefined,
  values: ContextValues | undefined,
): ServerCall {
  const requestHeader = new Headers(header);
  return new ServerCall({ method, protocolName: "in-process", requestHeader, values, timeoutMs });
}

function runUnary(
  dispatch: Dispatch,
  call: ServerCall,
  signal: AbortSignal | undefined,
  message: Message,
): Promise<UnaryResponse> {
  return new Promise((resolve, reject) => {
    const unlink = linkSignal(call, signal, reject);
    if (call.abortReason !== undefined) {
      reject(call.abortReason);
      return;
    }
    const done = () => {
      unlink?.();
      call.finish();
    };
    dispatch.unary(call, message).then(
      (response) => {
        done();
        resolve(response);
      },
      (error: unknown) => {
        done();
        reject(fromUnknown(error));
      },
    );
  });
}

/** Makes the caller's signal end the call, and the end of the call reject the caller's promise. */
function linkSignal(
  call: ServerCall,
  signal: AbortSignal | undefined,
  onAbort: (reason: Error) => void,
): (() => void) | undefined {
  call.onAbort(onAbort);
  if (signal === undefined) return undefined;
  if (signal.aborted) {
    call.abort(canceled(signal.reason));
    return undefined;
  }
  const listener = () => call.abort(canceled(signal.reason));
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

/** The caller's messages as the handler reads them: complete messages, ended by the end of the call. */
function requestMessages(
  call: ServerCall,
  schema: DescMessage,
  input: AsyncIterable<MessageInitShape<DescMessage>>,
): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = input[Symbol.asyncIterator]();
      let fail: ((reason: unknown) => void) | undefined;
      call.onAbort((reason) => fail?.(reason));
      return {
        next() {
          if (call.abortReason !== undefined) return Promise.reject(call.abortReason);
          return new Promise((resolve, reject) => {
            fail = reject;
            iterator.next().then((result) => {
              if (result.done === true) resolve({ done: true, value: undefined });
              else resolve({ done: false, value: create(schema, result.value) });
            }, reject);
          });
        },
        return() {
          // Not awaited: a generator that is stuck in an await of its own would never answer.
          iterator.return?.().catch(() => undefined);
          return Promise.resolve({ done: true, value: undefined });
        },
      };
    },
  };
}

/** Resolves, as over a network, when the handler has produced its first message or its end. */
function runStream(
  dispatch: Dispatch,
  call: ServerCall,
  signal: AbortSignal | undefined,
  requests: AsyncIterable<Message>,
): Promise<StreamResponse> {
  return new Promise((resolve, reject) => {
    const queue = createAsyncQueue<Message>({ max: RESPONSES_AHEAD_MAX });
    const fail = (error: unknown) => {
      const reason = fromUnknown(error);
      queue.clear(reason);
      reject(reason);
    };
    const unlink = linkSignal(call, signal, fail);
    if (call.abortReason !== undefined) {
      fail(call.abortReason);
      return;
    }
    const pump = async () => {
      const response = await dispatch.stream(call, requests);
      const readable: StreamResponse = {
        stream: true,
        method: response.method,
        service: response.service,
        header: response.header,
        trailer: response.trailer,
        message: responseMessages(call, queue),
      };
      for await (const message of response.message) {
        const added = queue.push(message) || (await queue.put(message));
        resolve(readable);
        if (!added) return;
      }
      queue.close();
      resolve(readable);
    };
    pump()
      .catch((error: unknown) => {
        const reason = fromUnknown(error);
        queue.close(reason);
        reject(reason);
      })
      .finally(() => {
        unlink?.();
        call.finish();
      });
  });
}

function responseMessages(call: ServerCall, queue: AsyncIterable<Message>): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = queue[Symbol.asyncIterator]();
      return {
        next: () => iterator.next(),
        return: async () => {
          call.abort(canceled());
          return { done: true, value: undefined };
        },
      };
    },
  };
}

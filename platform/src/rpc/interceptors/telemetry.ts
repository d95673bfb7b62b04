import type { DescMethod, Message } from "@bufbuild/protobuf";
import {
  Code,
  type ConnectError,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
} from "@connectrpc/connect";
import { fromUnknown, reasonOf } from "../../errors.ts";
import { redact } from "../../telemetry/redact.ts";
import type { Telemetry } from "../../telemetry/telemetry.ts";
import type { Span } from "../../telemetry/tracer.ts";
import { callerKey } from "../caller.ts";
import { deriveStreamResponse } from "./derive.ts";

type Next = ReturnType<Interceptor>;

/** What is recorded about one method; bound once, because looking labels up costs more than counting. */
type MethodRecorder = {
  readonly rpc: string;
  readonly ok: { inc(): void };
  readonly latency: { observe(seconds: number): void };
  readonly streams: { inc(): void; dec(): void };
};

/**
 * A span, counts, a latency and, for failures, one log line per call. A failure is logged at `error` when
 * it is our bug, at `warn` when a part is down or late, at `debug` when it is the caller's: the counts
 * show those, and nobody may fill our disk by sending nonsense.
 */
export function telemetryInterceptor(telemetry: Telemetry): Interceptor {
  const { metrics, tracer } = telemetry;
  const calls = metrics.counter(
    "parley_rpc_calls_total",
    "Finished calls by RPC, status code and reason (empty if none).",
    ["rpc", "code", "reason"],
  );
  const latency = metrics.histogram(
    "parley_rpc_duration_seconds",
    "Time from a unary call's arrival to its answer.",
    ["rpc"],
  );
  const streams = metrics.gauge("parley_rpc_streams", "Streams that are open.", ["rpc"]);
  const recorders = new Map<DescMethod, MethodRecorder>();

  const recorderOf = (method: DescMethod): MethodRecorder => {
    let recorder = recorders.get(method);
    if (recorder === undefined) {
      const rpc = `${method.parent.typeName}/${method.name}`;
      recorder = {
        rpc,
        ok: calls.labels({ rpc, code: "ok", reason: "" }),
        latency: latency.labels({ rpc }),
        streams: streams.labels({ rpc }),
      };
      recorders.set(method, recorder);
    }
    return recorder;
  };

  const fail = (
    recorder: MethodRecorder,
    request: UnaryRequest | StreamRequest,
    span: Span,
    error: unknown,
  ): ConnectError => {
    const refused = fromUnknown(error);
    const code = codeName(refused.code);
    const reason = reasonOf(refused) ?? "";
    calls.labels({ rpc: recorder.rpc, code, reason }).inc();
    span.setAttribute("rpc.code", code);
    if (reason !== "") span.setAttribute("rpc.reason", reason);
    span.fail(code);
    logFailure(telemetry, recorder.rpc, request, refused, code, reason);
    return refused;
  };

  const unary = (next: Next, request: UnaryRequest) => {
    const recorder = recorderOf(request.method);
    const startMs = performance.now();
    return traced(telemetry, recorder.rpc, request, async (span) => {
      try {
        const response = await next(request);
        recorder.ok.inc();
        return response;
      } catch (error) {
        throw fail(recorder, request, span, error);
      } finally {
        recorder.latency.observe((performance.now() - startMs) / 1000);
      }
    });
  };

  const stream = async (next: Next, request: StreamRequest) => {
    const recorder = recorderOf(request.method);
    const span = tracer.startSpan(recorder.rpc, {
      kind: "server",
      parent: request.header.get("traceparent") ?? undefined,
    });
    recorder.streams.inc();
    let open = true;
    const end = (error?: unknown): unknown => {
      if (!open) return error;
      open = false;
      recorder.streams.dec();
      const reported = error === undefined ? undefined : fail(recorder, request, span, error);
      if (error === undefined) recorder.ok.inc();
      span.end();
      return reported;
    };
    try {
      const response = (await next(request)) as StreamResponse;
      return deriveStreamResponse(response, watched(response.message, end));
    } catch (error) {
      throw end(error);
    }
  };

  return (next) => (request) => (request.stream ? stream(next, request) : unary(next, request));
}

function traced<T>(
  telemetry: Telemetry,
  rpc: string,
  request: UnaryRequest,
  run: (span: Span) => Promise<T>,
): Promise<T> {
  const parent = request.header.get("traceparent") ?? undefined;
  return telemetry.tracer.withSpan(rpc, { kind: "server", parent }, run);
}

/** Reports the end of the messages: with an error, at their end, or because the reader left. */
function watched(
  messages: AsyncIterable<Message>,
  end: (error?: unknown) => unknown,
): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = messages[Symbol.asyncIterator]();
      return {
        next: () =>
          iterator.next().then(
            (result) => {
              if (result.done === true) end();
              return result;
            },
            (error: unknown) => {
              throw end(error);
            },
          ),
        return: async (value) => {
          await iterator.return?.();
          end();
          return { done: true, value };
        },
      };
    },
  };
}

/** `Code.NotFound` as `not_found`, the form that Connect uses on the wire. */
export function codeName(code: Code): string {
  const name = Code[code] ?? "Unknown";
  return name.replace(
    /[A-Z]/g,
    (letter, index: number) => (index === 0 ? "" : "_") + letter.toLowerCase(),
  );
}

function logFailure(
  telemetry: Telemetry,
  rpc: string,
  request: UnaryRequest | StreamRequest,
  error: ConnectError,
  code: string,
  reason: string,
): void {
  const level = levelOf(error.code);
  const { log, showPersonal } = telemetry;
  if (!log.isLevelEnabled(level)) return;
  const caller = request.contextValues.get(callerKey);
  log[level](
    {
      rpc,
      code,
      reason,
      caller: caller.kind,
      ...(caller.kind === "device" ? { user_id: caller.userId, device_id: caller.deviceId } : {}),
      // The text of our own refusals may name a person; the reason does not.
      ...(error.cause === undefined || error.cause === null ? {} : { error: error.cause }),
      ...(request.stream
        ? {}
        : { request: redact(request.method.input, request.message, { showPersonal }) }),
    },
    "A call failed.",
  );
}

function levelOf(code: Code): "debug" | "warn" | "error" {
  switch (code) {
    case Code.Internal:
    case Code.Unknown:
    case Code.DataLoss:
      return "error";
    case Code.Unavailable:
    case Code.DeadlineExceeded:
      return "warn";
    default:
      return "debug";
  }
}

/** The test service's implementation: says and does what the host suite needs to see. */
import { create } from "@bufbuild/protobuf";
import type { Client, HandlerContext } from "@connectrpc/connect";
import {
  type ConverseBatchesRequest,
  ConverseBatchesRequestSchema,
  type ConverseBatchesResponse,
  ConverseBatchesResponseSchema,
  EchoService,
  UndeclaredService,
} from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { createDeferred, type Deferred } from "../../async/deferred.ts";
import { sleep } from "../../async/sleep.ts";
import {
  failedPrecondition,
  fromRefusalFields,
  resourceExhausted,
  toRefusalFields,
  unavailable,
} from "../../errors.ts";
import { currentTraceParent } from "../../telemetry/trace-context.ts";
import {
  type BatchStreamClientOptions,
  createBatchStreamClient,
  serveBatchStream,
} from "../batch-stream.ts";
import { callerKey, peerAddressKey, requireDevice } from "../caller.ts";
import { defineRoute, type Routes } from "../route.ts";

export type EchoRoutes = {
  readonly routes: Routes;
  /** Resolves with the reason when the signal of the handler that waits aborts. */
  aborted(): Promise<unknown>;
  /** Resolves when the handler of a stream has been left. */
  left(): Promise<void>;
  /** Calls of `Echo` and `Change` that reached their handler. */
  readonly calls: number;
  /** Resolves when a handler was told to `pause`; it goes on after `resume`. */
  paused(): Promise<void>;
  resume(): void;
  /** Messages that a `flood` has written, once it writes no more. */
  flooded(): Promise<number>;
};

/** What no answer may ever contain: it stands in causes. */
export const SECRET_CAUSE = "the-secret-in-the-cause";

/** What a conversation is answered with, without end, when it is told to `flood`. */
export const FLOOD_TEXT = "x".repeat(16 * 1024);

function seenCaller(context: HandlerContext) {
  const caller = context.values.get(callerKey);
  return {
    kind: caller.kind,
    peerAddress: context.values.get(peerAddressKey),
    traceParent: currentTraceParent() ?? "",
    ...(caller.kind === "device" ? { userId: caller.userId, deviceId: caller.deviceId } : {}),
    ...(caller.kind === "internal" ? { service: caller.service } : {}),
  };
}

const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });

function serveConverse(
  requests: AsyncIterable<ConverseBatchesRequest>,
  signal: AbortSignal,
  aborted: Deferred<unknown>,
) {
  signal.addEventListener("abort", () => aborted.resolve(signal.reason), { once: true });
  return serveBatchStream(requests, {
    unwrap: (batch) =>
      batch.items.map((item) => ({ correlationId: item.correlationId, item: item.text })),
    handleItem(text) {
      if (text === "fail") throw failedPrecondition("WRONG_MOMENT", "Not now.");
      return text === "never" ? new Promise<string>(() => undefined) : text;
    },
    wrap: (outcomes) =>
      create(ConverseBatchesResponseSchema, {
        results: outcomes.map((outcome) => {
          const { correlationId } = outcome;
          if (outcome.ok) return { correlationId, text: outcome.result };
          const { code, reason } = toRefusalFields(outcome.error);
          return { correlationId, code, reason };
        }),
      }),
  });
}

/** A batch stream client of `ConverseBatches`. */
export function createConverseClient(
  client: Client<typeof EchoService>,
  options: Partial<ConverseOptions> = {},
) {
  return createBatchStreamClient<string, string, ConverseBatchesRequest, ConverseBatchesResponse>({
    name: "converse",
    open: (batches, signal) => client.converseBatches(batches, { signal }),
    wrap: (items) =>
      create(ConverseBatchesRequestSchema, {
        items: items.map(({ correlationId, item }) => ({ correlationId, text: item })),
      }),
    *unwrap({ results }) {
      for (const { correlationId, text, code, reason } of results) {
        if (code === 0) yield { correlationId, ok: true, result: text };
        else {
          const error = fromRefusalFields({ code, reason, description: "", retryAfterMs: 0 });
          yield { correlationId, ok: false, error };
        }
      }
    },
    ...options,
  });
}

type ConverseOptions = BatchStreamClientOptions<
  string,
  string,
  ConverseBatchesRequest,
  ConverseBatchesResponse
>;

export function createEchoRoutes(): EchoRoutes {
  const aborted: Deferred<unknown> = createDeferred();
  const left: Deferred<void> = createDeferred();
  let calls = 0;
  const paused: Deferred<void> = createDeferred();
  const resumed: Deferred<void> = createDeferred();
  let flooded = 0;

  const watchSignal = (signal: AbortSignal) => {
    signal.addEventListener("abort", () => aborted.resolve(signal.reason), { once: true });
  };

  const change = async (instruction: string, context: HandlerContext) => {
    switch (instruction) {
      case "refuse":
        throw failedPrecondition("WRONG_MOMENT", "Not now, Zoë.", { phase: "3" });
      case "exhaust":
        throw resourceExhausted("TOO_OFTEN", "Slower.", { retryAfterMs: 1500 });
      case "unavailable":
        throw unavailable("DOWN", "Down.", { cause: new Error(SECRET_CAUSE) });
      case "throw":
        throw new Error(SECRET_CAUSE);
      case "wait":
        watchSignal(context.signal);
        await untilAborted(context.signal);
        break;
      case "ignore":
        watchSignal(context.signal);
        await new Promise(() => undefined);
        break;
      case "pause":
        paused.resolve();
        await resumed.promise;
        break;
      case "observe":
        watchSignal(context.signal);
        break;
      case "headers":
        context.responseHeader.set("x-echo", context.requestHeader.get("x-say") ?? "");
        context.responseTrailer.set("x-after", "later");
        break;
    }
    return {};
  };

  const echo = defineRoute(EchoService, {
    echo(request, context) {
      calls++;
      return { ...(request.saying && { saying: request.saying }), caller: seenCaller(context) };
    },
    change(request, context) {
      calls++;
      return change(request.instruction, context);
    },
    async *expand(request, context) {
      watchSignal(context.signal);
      try {
        for (let number = 0; number < request.count; number++) {
          yield { number };
        }
        if (request.ending === "fail") throw failedPrecondition("WRONG_MOMENT", "Not now.");
        if (request.ending === "wait") await untilAborted(context.signal);
      } finally {
        left.resolve();
      }
    },
    async collect(requests) {
      let sum = 0n;
      for await (const { number } of requests) sum += BigInt(number);
      return { sum };
    },
    async *converse(requests, context) {
      watchSignal(context.signal);
      try {
        for await (const { text } of requests) {
          if (text !== "flood") yield { text: `${text}!` };
          for (; text === "flood"; flooded++) yield { text: FLOOD_TEXT };
        }
      } finally {
        left.resolve();
      }
    },
    converseBatches: (requests, context) => serveConverse(requests, context.signal, aborted),
    describeDevice(_request, context) {
      requireDevice(context);
      return { caller: seenCaller(context) };
    },
    describeService: (_request, context) => ({ caller: seenCaller(context) }),
    describeOperator: (_request, context) => ({ caller: seenCaller(context) }),
  });
  const undeclared = defineRoute(UndeclaredService, { reach: () => ({}) });

  return {
    routes: [echo, undeclared],
    aborted: () => aborted.promise,
    left: () => left.promise,
    get calls() {
      return calls;
    },
    paused: () => paused.promise,
    resume: () => resumed.resolve(),
    async flooded() {
      for (let before = -1; before !== flooded || flooded === 0; ) {
        before = flooded;
        await sleep(100);
      }
      return flooded;
    },
  };
}

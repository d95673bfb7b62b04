/**
 * Brings appends to whoever applies their conversation's partition, over one stream per instance. It saves time and
 * decides nothing: an instance that does not apply the partition refuses, and the item is brought to the one that does.
 */
import { create } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  type AppendBatchesRequest,
  AppendBatchesRequestSchema,
  type AppendBatchesResponse,
  AppendBatchesResponseSchema,
  type AppendItem,
  AppendItemSchema,
  type AppendResult,
  AppendResultSchema,
  AppendService,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import type { TimerClock } from "@parley/platform/clock";
import { reasonOf, toRefusalFields, unavailable } from "@parley/platform/errors";
import {
  type BatchOutcome,
  type BatchStreamClient,
  createBatchStreamClient,
  serveBatchStream,
} from "@parley/platform/rpc/batch-stream";
import { defineRoute, type Route } from "@parley/platform/rpc/route";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { PartitionOwners } from "./partition-owners.ts";

export type AppendRouter = AsyncDisposable & {
  /** `AppendService`, whose items go to their owners. */
  readonly route: Route;
};

export type AppendRouterOptions = {
  readonly owners: PartitionOwners;
  /** A transport to one instance. */
  readonly connect: (address: string) => Transport & AsyncDisposable;
  readonly clock: TimerClock;
  readonly log: Logger;
};

/** Below what callers wait for an answer, so that they learn the reason. */
const ROUTE_MS_MAX = 8000;
/** Time for one instance's answer; one that hangs has lost its partitions by then. */
const ANSWER_MS_MAX = 8000;
/** Callers have bounds of their own; this one is for all of them together. */
const ITEMS_IN_FLIGHT_MAX = 16_384;
const RETRY_AFTER_MS = 500;

export function createAppendRouter(options: AppendRouterOptions): AppendRouter {
  const router = new Router(options);
  const route = defineRoute(AppendService, {
    appendBatches: (requests: AsyncIterable<AppendBatchesRequest>) =>
      serveBatchStream<AppendItem, AppendResult, AppendBatchesRequest, AppendBatchesResponse>(
        requests,
        {
          unwrap: ({ items }) => items.map((item) => ({ correlationId: item.correlationId, item })),
          handleItem: (item) => router.append(item),
          wrap: (outcomes) =>
            create(AppendBatchesResponseSchema, { results: outcomes.map(toResult) }),
        },
      ),
  });
  return { route, [Symbol.asyncDispose]: () => router[Symbol.asyncDispose]() };
}

type Stream = BatchStreamClient<AppendItem, AppendResult>;
type Instance = { readonly stream: Stream; readonly transport: Transport & AsyncDisposable };

class Router implements AsyncDisposable {
  readonly #options: AppendRouterOptions;
  readonly #instances = new Map<string, Instance>();
  /** Conversations with an item that is brought again: what follows waits behind it, so that order is kept. */
  readonly #repeating = new Map<string, Promise<unknown>>();

  constructor(options: AppendRouterOptions) {
    this.#options = options;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { stream, transport } of this.#instances.values()) {
      await stream[Symbol.asyncDispose]();
      await transport[Symbol.asyncDispose]();
    }
  }

  append(item: AppendItem): Promise<AppendResult> {
    const before = this.#repeating.get(item.conversationId);
    if (before === undefined) return this.#try(item);
    return this.#behind(before, item);
  }

  /** The usual case: the owner is known, takes the item, and answers. */
  async #try(item: AppendItem): Promise<AppendResult> {
    const first = await this.#attempt(item);
    if (first !== "again") return first;
    const before = this.#repeating.get(item.conversationId);
    return this.#behind(before, item);
  }

  #behind(before: Promise<unknown> | undefined, item: AppendItem): Promise<AppendResult> {
    const { conversationId } = item;
    const untilMs = this.#options.clock.monotoneMs() + ROUTE_MS_MAX;
    const repeated = (before ?? Promise.resolve()).then(() => this.#repeat(item, untilMs));
    this.#repeating.set(conversationId, repeated);
    return repeated.finally(() => {
      if (this.#repeating.get(conversationId) === repeated) this.#repeating.delete(conversationId);
    });
  }

  async #repeat(item: AppendItem, untilMs: number): Promise<AppendResult> {
    const { owners, clock } = this.#options;
    for (;;) {
      const result = await this.#attempt(item);
      if (result !== "again") return result;
      if (clock.monotoneMs() >= untilMs) return refused("OUTCOME_UNKNOWN");
      await owners.refresh();
    }
  }

  /** Repeating is safe also after a lost answer: what was applied already gives its first result. */
  async #attempt(item: AppendItem): Promise<AppendResult | "again"> {
    const address = this.#options.owners.ownerOf(item.conversationId);
    if (address === undefined) return "again";
    try {
      const result = await this.#instance(address).stream.call(item);
      return isNotOwner(result) ? "again" : result;
    } catch (error) {
      if (reasonOf(error) === "TOO_MANY_IN_FLIGHT") return refused("TOO_MANY_IN_FLIGHT");
      return "again";
    }
  }

  #instance(address: string): Instance {
    const known = this.#instances.get(address);
    if (known !== undefined) return known;
    const transport = this.#options.connect(address);
    const client = createClient(AppendService, transport);
    const stream = createBatchStreamClient<
      AppendItem,
      AppendResult,
      AppendBatchesRequest,
      AppendBatchesResponse
    >({
      name: `AppendService.AppendBatches of ${address}`,
      open: (batches, signal) => client.appendBatches(batches, { signal }),
      wrap: (items) =>
        create(AppendBatchesRequestSchema, {
          items: items.map(({ correlationId, item }) =>
            create(AppendItemSchema, { ...item, correlationId }),
          ),
        }),
      unwrap: ({ results }) =>
        results.map((result) => ({ correlationId: result.correlationId, ok: true, result })),
      itemsInFlightMax: ITEMS_IN_FLIGHT_MAX,
      itemTimeoutMs: ANSWER_MS_MAX,
      log: this.#options.log,
    });
    const instance = { stream, transport };
    this.#instances.set(address, instance);
    return instance;
  }
}

function isNotOwner({ outcome }: AppendResult): boolean {
  return outcome.case === "refused" && outcome.value.reason === "NOT_OWNER";
}

function refused(reason: "OUTCOME_UNKNOWN" | "TOO_MANY_IN_FLIGHT"): AppendResult {
  const text = {
    OUTCOME_UNKNOWN: "Nobody who applies the conversation's partition has answered; repeat it.",
    TOO_MANY_IN_FLIGHT: "Too many appends are unanswered.",
  }[reason];
  const value = toRefusalFields(unavailable(reason, text, { retryAfterMs: RETRY_AFTER_MS }));
  return create(AppendResultSchema, { outcome: { case: "refused", value } });
}

/** The caller's correlation id on what the owner answered. */
function toResult(outcome: BatchOutcome<AppendResult>): AppendResult {
  const { correlationId } = outcome;
  if (outcome.ok) return create(AppendResultSchema, { ...outcome.result, correlationId });
  const value = toRefusalFields(outcome.error);
  return create(AppendResultSchema, { correlationId, outcome: { case: "refused", value } });
}

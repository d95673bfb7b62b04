/** An `AppendService` in memory: the version rule of the real one, and failures on demand. */
import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { ConversationChange } from "@parley/gen/parley/conversation/v1/conversation_pb";
import {
  type AppendBatchesRequest,
  type AppendItem,
  AppendService,
} from "@parley/gen/parley/internal/message/v1/append_service_pb";
import {
  type ReadRangesRequest,
  TimelineService,
} from "@parley/gen/parley/internal/message/v1/timeline_service_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import { serveBatchStream } from "@parley/platform/rpc/batch-stream";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import { createProjection, type MembershipProjection, project } from "./membership-projection.ts";

type AppendOutcome = AppendResultInit["outcome"];
type AppendResultInit = {
  readonly correlationId: bigint;
  readonly outcome:
    | {
        readonly case: "accepted";
        readonly value: { readonly duplicate: boolean; readonly seq: bigint };
      }
    | {
        readonly case: "refused";
        readonly value: { readonly code: number; readonly reason: string };
      };
};

/** What happens to an item before it is answered. */
export type AppendFault =
  /** Not applied; told to repeat. */
  | "unavailable"
  /** Applied, and the answer says that nothing is known. */
  | "lost-answer"
  /** Applied, and the whole stream breaks before the answer. */
  | "broken-stream";

export type MemoryAppendService = {
  readonly routes: Routes;
  /** The changes of each conversation as they were applied. */
  readonly logs: ReadonlyMap<string, readonly ConversationChange[]>;
  /** What a reader of the log knows of a conversation. */
  membersOf(conversationId: string): MembershipProjection;
  /** Applies a change that comes from somewhere else: another history of the directory. */
  applyForeign(conversationId: string, change: ConversationChange): void;
  /** The next items meet these, one each. */
  failNext(...faults: AppendFault[]): void;
  /** Takes back the faults that no item has met. */
  heal(): void;
  /** Items that arrive from now on wait until the returned function is called. */
  hold(): () => void;
  /** Resolves when `count` items have arrived since the service was created. */
  arrived(count: number): Promise<void>;
  /** Resolves when the conversation's changes up to the version have been applied. */
  applied(conversationId: string, membershipVersion: number): Promise<void>;
  /** Items that arrived, repetitions included. */
  readonly arrivals: number;
  /** Items that were answered as duplicates. */
  readonly duplicates: number;
};

export function createMemoryAppendService(): MemoryAppendService {
  const logs = new Map<string, ConversationChange[]>();
  const projections = new Map<string, MembershipProjection>();
  const faults: AppendFault[] = [];
  const waiters: { isDone(): boolean; resolve(): void }[] = [];
  let gate: PromiseWithResolvers<void> | undefined;
  let arrivals = 0;
  let duplicates = 0;

  const membersOf = (conversationId: string) => {
    const known = projections.get(conversationId) ?? createProjection();
    projections.set(conversationId, known);
    return known;
  };

  const wake = () => {
    for (const waiter of waiters) if (waiter.isDone()) waiter.resolve();
  };
  const until = (isDone: () => boolean) =>
    new Promise<void>((resolve) => {
      waiters.push({ isDone, resolve });
      wake();
    });

  const apply = (conversationId: string, change: ConversationChange): AppendOutcome => {
    const state = membersOf(conversationId);
    const version = Number(change.membershipVersion);
    if (version <= state.membershipVersion) {
      duplicates++;
      const known = placed(logs.get(conversationId) ?? []);
      const first = known.findIndex(
        ({ membershipVersion }) => Number(membershipVersion) >= version,
      );
      const seq = takesPlace(change) ? BigInt(first + 1) : 0n;
      return { case: "accepted", value: { duplicate: true, seq } };
    }
    if (version > state.membershipVersion + 1) {
      return refused(Code.FailedPrecondition, "VERSION_GAP");
    }
    project(state, change);
    logs.set(conversationId, [...(logs.get(conversationId) ?? []), change]);
    wake();
    const seq = takesPlace(change) ? placed(logs.get(conversationId) ?? []).length : 0;
    return { case: "accepted", value: { duplicate: false, seq: BigInt(seq) } };
  };

  const handle = async (item: AppendItem): Promise<AppendOutcome> => {
    arrivals++;
    wake();
    const fault = faults.shift();
    await gate?.promise;
    assert.equal(item.item.case, "change");
    const change = (item.item.value as { readonly change?: ConversationChange }).change;
    assert.ok(change !== undefined);
    if (fault === "unavailable") return refused(Code.Unavailable, "MOVED");
    const outcome = apply(item.conversationId, change);
    if (fault === "lost-answer") return refused(Code.Unavailable, "OUTCOME_UNKNOWN");
    if (fault === "broken-stream") throw new BrokenStream();
    return outcome;
  };

  return {
    routes: [
      defineRoute(AppendService, { appendBatches: (requests) => serve(requests, handle) }),
      defineRoute(TimelineService, { readRanges: (request) => readRanges(logs, request) }),
    ],
    logs,
    applyForeign: (conversationId, change) => void apply(conversationId, change),
    membersOf,
    failNext: (...next) => void faults.push(...next),
    heal: () => void faults.splice(0),
    hold() {
      const held = Promise.withResolvers<void>();
      gate = held;
      return () => {
        if (gate === held) gate = undefined;
        held.resolve();
      };
    },
    arrived: (count) => until(() => arrivals >= count),
    applied: (conversationId, membershipVersion) =>
      until(() => membersOf(conversationId).membershipVersion >= membershipVersion),
    get arrivals() {
      return arrivals;
    },
    get duplicates() {
      return duplicates;
    },
  };
}

class BrokenStream extends Error {}

/** Changes that the timeline shows; their place is their index and 1. */
function placed(changes: readonly ConversationChange[]): readonly ConversationChange[] {
  return changes.filter(takesPlace);
}

function takesPlace({ change }: ConversationChange): boolean {
  return change.case !== "sendPermissionChanged";
}

/** Reads one entry, whoever asks. */
function readRanges(
  logs: ReadonlyMap<string, readonly ConversationChange[]>,
  { ranges }: ReadRangesRequest,
) {
  const slices = ranges.map(({ conversationId, lastSeq: seq }) => {
    const change = placed(logs.get(conversationId) ?? [])[Number(seq) - 1];
    if (change === undefined) return { conversationId, readThroughSeq: seq, entries: [] };
    const message = { conversationId, seq, body: { case: "change", value: change } } as const;
    const event = create(EventSchema, { event: { case: "message", value: message } });
    const entry = { seq, messageId: seq, event: toBinary(EventSchema, event) };
    return { conversationId, readThroughSeq: seq, entries: [entry] };
  });
  return { slices };
}

function serve(
  requests: AsyncIterable<AppendBatchesRequest>,
  handle: (item: AppendItem) => Promise<AppendOutcome>,
) {
  return serveBatchStream<AppendItem, AppendResultInit, AppendBatchesRequest, Response>(requests, {
    unwrap: (batch) => batch.items.map((item) => ({ correlationId: item.correlationId, item })),
    handleItem: async (item) => ({
      correlationId: item.correlationId,
      outcome: await handle(item),
    }),
    wrap: (outcomes) => ({
      results: outcomes.map((outcome) => {
        if (outcome.ok) return outcome.result;
        throw outcome.error;
      }),
    }),
  });
}

type Response = { results: AppendResultInit[] };

function refused(code: Code, reason: string): AppendOutcome {
  return { case: "refused", value: { code, reason } };
}

/** One instance of the real consumer over a store and a scripted log, as a history needs it. */
import { createManualClock } from "@parley/platform/clock";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import { type ConversationCache, createConversationCache } from "../conversation-cache.ts";
import type { Dispatch, Dispatcher } from "../dispatcher.ts";
import type { Rules } from "../domain/rules.ts";
import { checkIdentity } from "../log-check.ts";
import { type MessageConsumer, startMessageConsumer } from "../message-consumer.ts";
import { createMessageMetrics } from "../metrics.ts";
import { createOutcomeWaiters } from "../outcome-waiters.ts";
import type { MessageStore } from "../ports.ts";
import type { ScriptedLog, ScriptedMember } from "./scripted-log.ts";

/** What has reached fan-out: event bytes by conversation and seq. */
export type Delivered = Map<string, Uint8Array>;

export type HeldDispatcher = Dispatcher & {
  /** Brings the first `count` of what is held to fan-out. */
  release(count: number): void;
};

/** A dispatcher whose fan-out takes things when the history says so. */
export function createHeldDispatcher(
  delivered: Delivered,
  options: { readonly closesTooEarly: boolean },
): HeldDispatcher {
  const held: { dispatch: Dispatch; at: number }[] = [];
  return {
    dispatch(dispatch) {
      for (const at of dispatch.entries.keys()) held.push({ dispatch, at });
      if (!options.closesTooEarly) return;
      for (const entry of dispatch.entries) dispatch.progress.close(Number(entry.offset));
    },
    release(count) {
      for (const { dispatch, at } of held.splice(0, count)) {
        const entry = dispatch.entries[at];
        if (entry === undefined) continue;
        delivered.set(`${dispatch.state.conversationId}/${entry.seq}`, entry.event);
        dispatch.progress.close(Number(entry.offset));
      }
    },
    room: async () => undefined,
    idle: async () => undefined,
    get pending() {
      return held.length;
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** Mistakes that are planted outside of the applier's rules and the store. */
export type InstanceFault =
  /** What was in memory is used again after the partition was somebody else's. */
  | "keeps-cache"
  /** Replay starts behind what fan-out has not taken. */
  | "checkpoint-ignores-dispatch";

export type Instance = {
  readonly member: ScriptedMember;
  readonly consumer: MessageConsumer;
  readonly dispatcher: HeldDispatcher;
  readonly store: MessageStore;
  readonly cache: ConversationCache;
};

export type InstanceOptions = {
  readonly store: MessageStore;
  readonly script: ScriptedLog;
  readonly delivered: Delivered;
  readonly telemetry: Telemetry;
  readonly rules?: Rules | undefined;
  readonly faults: ReadonlySet<InstanceFault>;
  /** How many conversations stay in memory: few, so that loading is part of the history. */
  readonly conversationsMax: number;
};

/** Starts an instance. Rejects, as the service does, when the store belongs to another log. */
export async function startInstance(options: InstanceOptions): Promise<Instance> {
  const { store, script, delivered, telemetry, rules, faults, conversationsMax } = options;
  const found: { member?: ScriptedMember } = {};
  const log = script.open((opened) => {
    found.member = opened;
  });
  await checkIdentity(store, log.identity);
  const clock = createManualClock();
  const dispatcher = createHeldDispatcher(delivered, {
    closesTooEarly: faults.has("checkpoint-ignores-dispatch"),
  });
  const cache = cacheOf(conversationsMax, faults);
  const consumer = await startMessageConsumer({
    log,
    store,
    cache,
    waiters: createOutcomeWaiters({ clock, waitersMax: 1, timeoutMs: 1 }),
    dispatcher,
    metrics: createMessageMetrics(telemetry.metrics),
    telemetry,
    clock,
    ...(rules === undefined ? {} : { rules }),
  });
  if (found.member === undefined) throw new Error("the consumer did not consume");
  return { member: found.member, consumer, dispatcher, store, cache };
}

function cacheOf(conversationsMax: number, faults: ReadonlySet<InstanceFault>): ConversationCache {
  const cache = createConversationCache({ conversationsMax, bytesMax: 1024 * 1024 });
  if (!faults.has("keeps-cache")) return cache;
  return { ...cache, dropPartition: () => undefined };
}

/** Lives a history through: straight, or with everything that can happen to instances on the way. */
import { deepStrictEqual } from "node:assert/strict";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { DedupeKey } from "../domain/dedupe.ts";
import type { Rules } from "../domain/rules.ts";
import { LogMismatchError } from "../log-check.ts";
import type { MessageStore } from "../ports.ts";
import {
  CONVERSATIONS,
  type History,
  PARTITIONS,
  partitionOfConversation,
  toRecords,
  USERS,
} from "./histories.ts";
import {
  type Delivered,
  type Instance,
  type InstanceFault,
  startInstance,
} from "./history-instance.ts";
import { createModelWorld, type HistoryWorld } from "./history-world.ts";
import { ModelCrash } from "./model-store.ts";
import { createScriptedLog, type ScriptedLog } from "./scripted-log.ts";

/** Something that must never happen has. */
export class HistoryViolation extends Error {
  override readonly name = "HistoryViolation";
}

/** Everything that a reader of the store can see, in a form that compares. */
export type Snapshot = {
  readonly conversations: readonly unknown[];
  readonly rows: ReadonlyMap<string, readonly Uint8Array[]>;
  readonly dedupe: readonly unknown[];
  readonly parked: readonly unknown[];
};

export type HistoryRunOptions = {
  readonly telemetry: Telemetry;
  /** The rules of an instance's life, the first being 0. */
  readonly rulesOf?: (life: number) => Rules;
  readonly faults?: ReadonlySet<InstanceFault>;
};

/** Applies the records one by one, with nothing happening. */
export async function runStraight(history: History, telemetry: Telemetry): Promise<Snapshot> {
  await using world = createModelWorld();
  const { records, keys } = toRecords(history.specs);
  const script = createScriptedLog(records);
  const store = await world.open({ beforeStep: () => undefined, random: () => 0.5 });
  const instance = await startInstance({
    store,
    script,
    delivered: new Map(),
    telemetry,
    faults: new Set(),
    conversationsMax: 100,
  });
  for (let partition = 0; partition < PARTITIONS; partition++) {
    await instance.member.assign(partition);
    for (const { offset } of records[partition] ?? []) {
      await instance.member.deliver(partition, offset, 1);
    }
  }
  return takeSnapshot(store, keys);
}

/** Lives through a history in a world, and throws HistoryViolation unless it ends as `expected`. */
export async function runChaos(
  history: History,
  world: HistoryWorld,
  expected: Snapshot,
  options: HistoryRunOptions,
): Promise<void> {
  const chaos = new Chaos(history, world, expected, options);
  await chaos.run();
}

type Zombie = { readonly thaw: () => void; readonly finished: Promise<void> };

/** An instance, and the moment at which it stands still. */
type Actor = Instance & {
  readonly frozen: Promise<void>;
  readonly thaw: () => void;
};

/** How an instance's writes end: at which step, and in which way. */
type Fate = { readonly step: number; readonly end: "crash" | "freeze" | "stumble" | "none" };

class Chaos {
  readonly #world: HistoryWorld;
  readonly #expected: Snapshot;
  readonly #options: HistoryRunOptions;
  readonly #script: ScriptedLog;
  readonly #keys: readonly DedupeKey[];
  readonly #random: () => number;
  readonly #delivered: Delivered = new Map();
  readonly #zombies: Zombie[] = [];
  readonly #thawed: Promise<void>[] = [];
  #seen: unknown;
  readonly #observations: Promise<void>[] = [];
  #life = 0;

  constructor(
    history: History,
    world: HistoryWorld,
    expected: Snapshot,
    options: HistoryRunOptions,
  ) {
    const { records, keys } = toRecords(history.specs);
    this.#world = world;
    this.#expected = expected;
    this.#options = options;
    this.#script = createScriptedLog(records);
    this.#keys = keys;
    this.#random = createRandom(history.chaosSeed);
  }

  async run(): Promise<void> {
    const reader = await this.#world.open({ beforeStep: () => undefined, random: this.#random });
    this.#world.onStep = () => {
      // Kept and not thrown: it happens in the middle of somebody's write.
      const observation = this.#observe(reader).catch((error: unknown) => {
        this.#seen ??= error;
      });
      this.#observations.push(observation);
    };
    const lives = 1 + this.#below(4);
    for (let life = 0; life < lives; life++) await this.#live();
    await this.#liveOut();
    await this.#checkObservations();
    const store = await this.#world.open({ beforeStep: () => undefined, random: this.#random });
    this.#compare(await takeSnapshot(store, this.#keys));
    this.#checkDelivered();
  }

  /** One life with everything that may happen in it. */
  async #live(): Promise<void> {
    const instance = await this.#start(this.#fate());
    const positions = await this.#assignAll(instance);
    const deeds = 1 + this.#below(14);
    for (let deed = 0; deed < deeds; deed++) {
      const alive = await this.#act(instance, positions);
      await this.#checkObservations();
      if (!alive) return;
    }
    if (this.#below(3) === 0) await this.#world.losePower();
  }

  /** The last life, in which nothing happens any more but the zombies. */
  async #liveOut(): Promise<void> {
    if (this.#below(2) === 0) await this.#thawAll();
    const instance = await this.#start({ step: 0, end: "none" });
    const positions = await this.#assignAll(instance);
    for (const [partition, position] of positions.entries()) {
      await instance.member.deliver(partition, position, 1000);
    }
    await this.#thawAll();
    instance.dispatcher.release(1000);
  }

  /** Does one random thing. False when the instance did not survive it. */
  async #act(instance: Actor, positions: number[]): Promise<boolean> {
    const partition = this.#below(PARTITIONS);
    switch (this.#below(14)) {
      case 0:
        return this.#deliver(instance, partition, this.#below((positions[partition] ?? 0) + 1), []);
      case 1:
        instance.dispatcher.release(1 + this.#below(6));
        return true;
      case 2:
        instance.consumer.saveCheckpoints();
        return true;
      case 3:
        await this.#world.flush();
        return true;
      case 4:
        // What was flushed is committed in the turns after it.
        await turns();
        this.#script.retain();
        return true;
      case 5:
      case 8:
        return this.#handOver(instance, partition, positions);
      case 6:
        this.#thawOne();
        return true;
      case 7:
        await this.#expectRefusals();
        return true;
      default:
        return this.#deliver(instance, partition, positions[partition] ?? 0, positions);
    }
  }

  /** Delivers some records from an offset; moves the position on if there is one to move. */
  async #deliver(
    instance: Actor,
    partition: number,
    offset: number,
    positions: number[],
  ): Promise<boolean> {
    const count = 1 + this.#below(8);
    const delivery = instance.member.deliver(partition, offset, count);
    const end = await this.#outcomeOf(instance, delivery);
    if (end === "frozen" || end === "crashed") return false;
    const length = this.#script.records[partition]?.length ?? 0;
    if (end === "done" && positions[partition] === offset) {
      positions[partition] = Math.min(offset + count, length);
    }
    return true;
  }

  /** Another instance takes the partition over for a while, then it comes back. */
  async #handOver(instance: Actor, partition: number, positions: number[]): Promise<boolean> {
    await instance.member.revoke(partition);
    const other = await this.#start(this.#below(2) === 0 ? this.#fate() : { step: 0, end: "none" });
    const start = await this.#mustStart(() => other.member.assign(partition));
    const taken = [];
    taken[partition] = start;
    for (let part = this.#below(6); part >= 0; part--) {
      if (!(await this.#deliver(other, partition, taken[partition] ?? 0, taken))) break;
    }
    if (this.#below(3) > 0) {
      other.dispatcher.release(100);
      other.consumer.saveCheckpoints();
      await turns();
    }
    await other.member.revoke(partition);
    positions[partition] = await this.#mustStart(() => instance.member.assign(partition));
    return true;
  }

  /** Another log, and one that lost its end, have to be refused. */
  async #expectRefusals(): Promise<void> {
    const script = this.#script;
    const store = await this.#world.open({ beforeStep: () => undefined, random: this.#random });
    const { epoch } = script;
    script.epoch = "epoch-2";
    await this.#expectRefusal(() => this.#startOn(store), "a log of another epoch");
    script.epoch = epoch;
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const applied = await appliedIn(store, partition);
      if (applied < 2) continue;
      const endOffset = script.endOffsets[partition] ?? 0;
      script.endOffsets[partition] = applied - 1;
      const instance = await this.#startOn(store);
      await this.#expectRefusal(
        () => instance.member.assign(partition),
        "a log that ends before the store",
      );
      script.endOffsets[partition] = endOffset;
    }
  }

  async #expectRefusal(start: () => Promise<unknown>, what: string): Promise<void> {
    try {
      await start();
    } catch (error) {
      if (error instanceof LogMismatchError) return;
      throw error;
    }
    throw new HistoryViolation(`${what} was accepted`);
  }

  async #start(fate: Fate): Promise<Actor> {
    let steps = 0;
    const frozen = Promise.withResolvers<void>();
    const thawed = Promise.withResolvers<void>();
    const beforeStep = (): void | Promise<void> => {
      const step = steps++;
      if (fate.end === "crash" && step >= fate.step) throw new ModelCrash("died");
      if (fate.end === "stumble" && step === fate.step) throw new ModelCrash("failed once");
      if (fate.end !== "freeze" || step < fate.step) return;
      frozen.resolve();
      return thawed.promise;
    };
    const store = await this.#world.open({
      beforeStep,
      random: this.#random,
      chooseReplay: (partition, replayOffset) => {
        const startOffset = this.#script.startOffsets[partition] ?? 0;
        if (this.#below(2) === 0 || replayOffset <= startOffset) return replayOffset;
        return startOffset + this.#below(replayOffset - startOffset + 1);
      },
    });
    const instance = await this.#mustStart(() => this.#startOn(store));
    return { ...instance, frozen: frozen.promise, thaw: thawed.resolve };
  }

  #startOn(store: MessageStore): Promise<Instance> {
    return startInstance({
      store,
      script: this.#script,
      delivered: this.#delivered,
      telemetry: this.#options.telemetry,
      rules: this.#options.rulesOf?.(this.#life++),
      faults: this.#options.faults ?? new Set(),
      conversationsMax: 1 + this.#below(4),
    });
  }

  /** What became of a delivery. An instance that stands still is kept as a zombie. */
  async #outcomeOf(
    actor: Actor,
    delivery: Promise<void>,
  ): Promise<"done" | "crashed" | "frozen" | "failed"> {
    const finished = delivery.then(
      () => "done" as const,
      (error: unknown) => {
        if (error instanceof ModelCrash) return "crashed" as const;
        throw error;
      },
    );
    const first = await Promise.race([finished, actor.frozen.then(() => "frozen" as const)]);
    if (first === "frozen") {
      this.#zombies.push({ thaw: actor.thaw, finished: finished.then(() => undefined) });
    }
    // An instance that stumbled once goes on; one that is dead fails again, and is given up then.
    return first === "crashed" && this.#below(2) === 0 ? "failed" : first;
  }

  async #assignAll(instance: Instance): Promise<number[]> {
    const positions: number[] = [];
    for (let partition = 0; partition < PARTITIONS; partition++) {
      positions.push(await this.#mustStart(() => instance.member.assign(partition)));
    }
    return positions;
  }

  /** Whatever happened, the next instance has to be able to go on. */
  async #mustStart<T>(start: () => Promise<T>): Promise<T> {
    try {
      return await start();
    } catch (error) {
      if (error instanceof LogMismatchError) {
        throw new HistoryViolation(`nobody can go on: ${error.message}`);
      }
      throw error;
    }
  }

  /** Goes on beside whatever happens next. */
  #thawOne(): void {
    const zombie = this.#zombies.shift();
    if (zombie === undefined) return;
    zombie.thaw();
    this.#thawed.push(zombie.finished);
  }

  async #thawAll(): Promise<void> {
    while (this.#zombies.length > 0) this.#thawOne();
    await Promise.all(this.#thawed.splice(0));
  }

  async #checkObservations(): Promise<void> {
    await Promise.all(this.#observations.splice(0));
    if (this.#seen !== undefined) throw this.#seen;
  }

  /** At any moment a reader sees a beginning of the history, without a gap. */
  async #observe(reader: MessageStore): Promise<void> {
    for (const conversationId of CONVERSATIONS) {
      const query = { conversationId, fromSeq: 1, toSeq: 100, rowsMax: 100, bytesMax: 1e9 };
      const rows = await reader.readRows(query);
      const expected = this.#expected.rows.get(conversationId) ?? [];
      for (const [at, row] of rows.entries()) {
        if (row.seq !== at + 1)
          throw new HistoryViolation(`a reader saw seq ${row.seq} at ${at + 1}`);
        const same = Buffer.from(row.event).equals(expected[at] ?? new Uint8Array());
        if (!same) throw new HistoryViolation(`a reader saw another entry at seq ${row.seq}`);
      }
    }
  }

  #compare(found: Snapshot): void {
    try {
      deepStrictEqual(found, this.#expected);
    } catch (error) {
      throw new HistoryViolation("the store is not as after the straightforward run", {
        cause: error,
      });
    }
  }

  #checkDelivered(): void {
    for (const [conversationId, events] of this.#expected.rows) {
      for (const [at, event] of events.entries()) {
        const delivered = this.#delivered.get(`${conversationId}/${at + 1}`);
        if (delivered === undefined) throw new HistoryViolation(`seq ${at + 1} was not delivered`);
        if (!Buffer.from(delivered).equals(event)) {
          throw new HistoryViolation(`seq ${at + 1} was delivered as something else`);
        }
      }
    }
  }

  #fate(): Fate {
    const ends = ["crash", "freeze", "stumble", "none"] as const;
    return { step: this.#below(30), end: ends[this.#below(4)] ?? "none" };
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

export async function takeSnapshot(
  store: MessageStore,
  keys: readonly DedupeKey[],
): Promise<Snapshot> {
  const states = await store.loadConversations(CONVERSATIONS);
  const rows = new Map<string, readonly Uint8Array[]>();
  const conversations: unknown[] = [];
  for (const conversationId of CONVERSATIONS) {
    const query = { conversationId, fromSeq: 1, toSeq: 1000, rowsMax: 1000, bytesMax: 1e9 };
    const found = await store.readRows(query);
    rows.set(
      conversationId,
      found.map(({ event }) => new Uint8Array(event)),
    );
    const state = states.get(conversationId);
    conversations.push({
      state: state && { ...state, members: [...state.members].sort() },
      rows: found.map((row) => ({ ...row, event: Buffer.from(row.event).toString("hex") })),
      windows: await Promise.all(
        USERS.map((userId) => store.readClosedWindows(conversationId, userId)),
      ),
      receipts: await store.readReceipts(conversationId, USERS),
    });
  }
  const queries = keys.map((key) => ({ key, beforeOffset: Number.MAX_SAFE_INTEGER }));
  const dedupe = await store.findDedupe(queries);
  return { conversations, rows, dedupe, parked: await store.readParked(undefined, 1000) };
}

/** The offset behind the newest record that is in a conversation of the partition. */
async function appliedIn(store: MessageStore, partition: number): Promise<number> {
  const ids = CONVERSATIONS.filter((_, at) => partitionOfConversation(at) === partition);
  const states = await store.loadConversations(ids);
  return Math.max(0, ...[...states.values()].map((state) => state.lastProcessedOffset + 1));
}

/** A small seeded generator (mulberry32): uniform in [0, 1). */
export function createRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Lets everything that is settled take effect. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

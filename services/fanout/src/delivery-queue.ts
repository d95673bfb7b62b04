/** Deliveries on their way to one gateway: those that wait, those that were sent, and how old they are. */
import type { Delivery } from "@parley/gen/parley/internal/gateway/v1/delivery_service_pb";
import { createMissedPeople, MISSED_PEOPLE_MAX, type MissedNotice } from "./missed-people.ts";

/** The contract: a batch without an acknowledgement for this long is given up. */
export const GIVE_UP_MS = 5000;

/**
 * After this long nobody waits for a delivery any more, although it is still tried: a gateway that stands
 * still must not fill the bound on unanswered dispatches, and so hold up everybody else's.
 */
export const HANDOVER_WAIT_MS = 1000;

/** The grain of both times; one timer for all that waits. */
export const TICK_MS = 250;

/** Deliveries that wait for one gateway: at full speed less than a second, and the bound on its memory. */
export const QUEUE_DELIVERIES_MAX = 16_384;
/** Bytes of events that wait for one gateway. */
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/** The contract's largest batch. */
const BATCH_DELIVERIES_MAX = 256;
/** A batch of large events is cut here, well below the largest message of a stream. */
const BATCH_BYTES_MAX = 1024 * 1024;
/** Batches on their way; an acknowledgement takes one turn of the gateway's event loop. */
export const BATCHES_IN_FLIGHT_MAX = 64;

const GIVE_UP_TICKS = GIVE_UP_MS / TICK_MS;
const HANDOVER_WAIT_TICKS = HANDOVER_WAIT_MS / TICK_MS;

export type DeliveryBatch = {
  readonly batchNumber: bigint;
  /** None where only `missed` is to be told. */
  readonly deliveries: readonly Delivery[];
  /** Whom deliveries were given up for since this was last told. */
  readonly missed: MissedNotice | undefined;
};

export type DeliveryQueue = {
  /**
   * Queues a delivery. False when there is no room: it is given up, which the next batch tells. `onHandedOver`
   * is called once, see `GatewayLink`, unless this is false.
   */
  add(delivery: Delivery, bytes: number, onHandedOver: () => void): boolean;
  /** The next batch to send; undefined when there is nothing to tell or enough is on its way. */
  takeBatch(): DeliveryBatch | undefined;
  /** A batch arrived. Unknown numbers are ignored. */
  acknowledge(batchNumber: bigint): void;
  /** The stream is gone: what was on its way waits again, in front; batch numbers begin at 1. */
  takeBack(): void;
  /** Time goes on by TICK_MS. True when a batch that was sent has been given up: the stream is dead. */
  tick(): boolean;
  /** Gives up everything. */
  clear(): void;
  /** Deliveries without an acknowledgement. */
  readonly depth: number;
  /** True when there is something to send. */
  readonly waiting: boolean;
  /**
   * Some of those whom deliveries were given up for, and of whom the gateway has not acknowledged that; empty
   * if it has of all.
   */
  readonly missedUserIds: readonly string[];
};

type Queued = {
  readonly delivery: Delivery;
  readonly bytes: number;
  readonly tick: number;
  /** Undefined once called. */
  onHandedOver: (() => void) | undefined;
};

type InFlight = {
  readonly batchNumber: bigint;
  readonly items: readonly Queued[];
  readonly missed: MissedNotice | undefined;
  /** Of its oldest delivery. */
  readonly tick: number;
};

/** Creates an empty queue; `onGivenUp` hears of each delivery that the gateway did not take in time. */
export function createDeliveryQueue(onGivenUp: (delivery: Delivery) => void): DeliveryQueue {
  return new AgingQueue(onGivenUp);
}

class AgingQueue implements DeliveryQueue {
  readonly #onGivenUp: (delivery: Delivery) => void;
  readonly #missed = createMissedPeople();
  #waiting: Queued[] = [];
  #inFlight: InFlight[] = [];
  #nextNumber = 1n;
  #bytes = 0;
  #tick = 0;
  depth = 0;

  constructor(onGivenUp: (delivery: Delivery) => void) {
    this.#onGivenUp = onGivenUp;
  }

  get waiting(): boolean {
    return this.#waiting.length > 0 || this.#missed.userIds.size > 0;
  }

  get missedUserIds(): readonly string[] {
    const onTheirWay = this.#inFlight.flatMap(({ missed }) => missed?.userIds ?? []);
    return [...this.#missed.userIds, ...onTheirWay].slice(0, MISSED_PEOPLE_MAX);
  }

  add(delivery: Delivery, bytes: number, onHandedOver: () => void): boolean {
    const bytesFull = this.#bytes + bytes > QUEUE_BYTES_MAX && this.depth > 0;
    if (this.depth >= QUEUE_DELIVERIES_MAX || bytesFull) {
      this.#missed.add(delivery);
      return false;
    }
    this.#waiting.push({ delivery, bytes, tick: this.#tick, onHandedOver });
    this.depth++;
    this.#bytes += bytes;
    return true;
  }

  takeBatch(): DeliveryBatch | undefined {
    if (!this.waiting || this.#inFlight.length >= BATCHES_IN_FLIGHT_MAX) return undefined;
    const items = this.#takeItems();
    const missed = this.#missed.take();
    const batchNumber = this.#nextNumber++;
    this.#inFlight.push({ batchNumber, items, missed, tick: items[0]?.tick ?? this.#tick });
    return { batchNumber, deliveries: items.map(({ delivery }) => delivery), missed };
  }

  acknowledge(batchNumber: bigint): void {
    // They come in order; anything else is looked for.
    const index =
      this.#inFlight[0]?.batchNumber === batchNumber
        ? 0
        : this.#inFlight.findIndex((batch) => batch.batchNumber === batchNumber);
    if (index < 0) return;
    const [batch] = this.#inFlight.splice(index, 1);
    for (const item of batch?.items ?? []) this.#finish(item);
  }

  takeBack(): void {
    const again: Queued[] = [];
    for (const item of this.#inFlight.flatMap(({ items }) => items)) {
      // Nobody wants to be told twice that somebody is typing, least of all late.
      if (item.delivery.conversationId === "") this.#giveUp(item);
      else again.push(item);
    }
    this.#takeBackMissed();
    this.#inFlight = [];
    this.#nextNumber = 1n;
    this.#waiting = [...again, ...this.#waiting];
  }

  tick(): boolean {
    this.#tick++;
    if (this.depth === 0 && this.#inFlight.length === 0) return false;
    const givenUpTick = this.#tick - GIVE_UP_TICKS;
    const [oldest] = this.#inFlight;
    const dead = oldest !== undefined && oldest.tick <= givenUpTick;
    if (dead) {
      this.#inFlight.shift();
      for (const item of oldest.items) this.#giveUp(item);
      if (oldest.missed !== undefined) this.#missed.takeBack(oldest.missed);
    }
    const fresh = this.#waiting.findIndex(({ tick }) => tick > givenUpTick);
    const late = this.#waiting.splice(0, fresh < 0 ? this.#waiting.length : fresh);
    for (const item of late) this.#giveUp(item);
    this.#releaseWaiters(this.#tick - HANDOVER_WAIT_TICKS);
    return dead;
  }

  clear(): void {
    const items = [...this.#inFlight.flatMap((batch) => batch.items), ...this.#waiting];
    this.#takeBackMissed();
    this.#inFlight = [];
    this.#waiting = [];
    for (const item of items) this.#giveUp(item);
  }

  #takeBackMissed(): void {
    for (const { missed } of this.#inFlight) {
      if (missed !== undefined) this.#missed.takeBack(missed);
    }
  }

  #takeItems(): Queued[] {
    let count = 0;
    let bytes = 0;
    for (const item of this.#waiting) {
      bytes += item.bytes;
      if (count === BATCH_DELIVERIES_MAX || (count > 0 && bytes > BATCH_BYTES_MAX)) break;
      count++;
    }
    if (count < this.#waiting.length) return this.#waiting.splice(0, count);
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }

  /** Those who wait for deliveries of this tick or earlier do not wait any longer. */
  #releaseWaiters(tick: number): void {
    for (const { items } of this.#inFlight) {
      for (const item of items) if (item.tick <= tick) handOver(item);
    }
    for (const item of this.#waiting) {
      if (item.tick > tick) break;
      handOver(item);
    }
  }

  #giveUp(item: Queued): void {
    this.#missed.add(item.delivery);
    this.#onGivenUp(item.delivery);
    this.#finish(item);
  }

  #finish(item: Queued): void {
    this.depth--;
    this.#bytes -= item.bytes;
    handOver(item);
  }
}

function handOver(item: Queued): void {
  const { onHandedOver } = item;
  item.onHandedOver = undefined;
  onHandedOver?.();
}

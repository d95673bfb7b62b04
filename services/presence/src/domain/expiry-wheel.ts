/**
 * A timing wheel: many items that expire, most of which are renewed before they do.
 *
 * ```
 * slot      0    1    2   …  n-1     one slot is `widthMs` of time; item → slot of its deadline
 *           └ items whose deadline fell into this slot when they were put there
 * ```
 *
 * Renewing an item only raises its `deadlineMs`; it is moved when the sweep comes to its old slot. So a
 * heartbeat costs one assignment, and an item is touched about once per lifetime by the sweep.
 */
export type Expiring = {
  /** May be raised at any time by the owner, never lowered. */
  deadlineMs: number;
  /** The wheel's own: where the item is; -1 when it is in no slot. */
  wheelSlot: number;
};

export type ExpiryWheel<T extends Expiring> = {
  add(item: T): void;
  /** Takes an item out; nothing happens when it is not in. */
  remove(item: T): void;
  /** Takes out every item whose deadline is at or before `nowMs`, and reports each. */
  sweep(nowMs: number, onExpired: (item: T) => void): void;
  readonly size: number;
};

/**
 * Creates a wheel for deadlines up to `horizonMs` ahead (later ones are found all the same, after being
 * moved on the way). Times are in ms of one monotone time that starts near 0.
 */
export function createExpiryWheel<T extends Expiring>(options: {
  readonly widthMs: number;
  readonly horizonMs: number;
}): ExpiryWheel<T> {
  const { widthMs, horizonMs } = options;
  // Two more than the horizon needs: the slot that is being swept, and the one that is half over.
  const slotCount = Math.ceil(horizonMs / widthMs) + 2;
  const slots = Array.from({ length: slotCount }, () => new Set<T>());
  let size = 0;
  let sweptTick = -1;

  const put = (item: T) => {
    const tick = Math.floor(item.deadlineMs / widthMs);
    const reachable = Math.min(Math.max(tick, sweptTick + 1), sweptTick + slotCount - 1);
    item.wheelSlot = reachable % slotCount;
    slots[item.wheelSlot]?.add(item);
  };

  /** Sweeps one slot. Items that are not due go to the slot of their deadline, or stay if it is this one. */
  const sweepSlot = (slot: Set<T>, nowMs: number, onExpired: (item: T) => void) => {
    for (const item of [...slot]) {
      // Taken out meanwhile, by what the report of another item led to.
      if (!slot.has(item)) continue;
      slot.delete(item);
      if (item.deadlineMs > nowMs) {
        put(item);
        continue;
      }
      item.wheelSlot = -1;
      size--;
      onExpired(item);
    }
  };

  return {
    add(item) {
      put(item);
      size++;
    },
    remove(item) {
      if (slots[item.wheelSlot]?.delete(item) !== true) return;
      item.wheelSlot = -1;
      size--;
    },
    sweep(nowMs, onExpired) {
      const nowTick = Math.floor(nowMs / widthMs);
      const firstTick = Math.max(sweptTick + 1, nowTick - slotCount + 1);
      // Everything before the present slot is over; the present slot itself is only partly over.
      sweptTick = Math.max(sweptTick, nowTick - 1);
      for (let tick = firstTick; tick <= nowTick; tick++) {
        const slot = slots[tick % slotCount];
        if (slot !== undefined) sweepSlot(slot, nowMs, onExpired);
      }
    },
    get size() {
      return size;
    },
  };
}

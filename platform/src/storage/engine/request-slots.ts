/** How many requests are under way at once, and how many may wait for their turn. */

/** So many requests wait already that this one was not begun. */
export class RequestSlotsError extends Error {
  override readonly name = "RequestSlotsError";
}

export type RequestSlots = {
  /** Runs `work` when there is a slot, in order of the calls. Rejects with RequestSlotsError when too many wait. */
  run<T>(work: () => Promise<T>): Promise<T>;
};

/** Creates slots for `slotsMax` requests at once; `waitersMax` more may wait. */
export function createRequestSlots(options: {
  readonly slotsMax: number;
  readonly waitersMax: number;
}): RequestSlots {
  const { slotsMax, waitersMax } = options;
  const waiters = new Set<() => void>();
  let taken = 0;
  const release = () => {
    // A Set iterates in order of insertion.
    const next = waiters.values().next().value;
    if (next === undefined) {
      taken--;
      return;
    }
    waiters.delete(next);
    next();
  };
  return {
    async run(work) {
      if (taken < slotsMax) taken++;
      else if (waiters.size < waitersMax) {
        const { promise, resolve } = Promise.withResolvers<void>();
        waiters.add(resolve);
        await promise;
      } else {
        throw new RequestSlotsError(`${waitersMax} requests wait already.`);
      }
      try {
        return await work();
      } finally {
        release();
      }
    },
  };
}

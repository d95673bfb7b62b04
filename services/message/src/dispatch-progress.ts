/** Which records of a partition still have to reach fan-out: where its replay has to start. */

export type DispatchProgress = {
  /** A record has something to bring. In order of offsets; opening one twice changes nothing. */
  open(offset: number): void;
  /** It has been brought. */
  close(offset: number): void;
  /** The first record that has not been brought; undefined if there is none. */
  readonly lowestOpen: number | undefined;
  readonly size: number;
};

export function createDispatchProgress(): DispatchProgress {
  // A Set iterates in insertion order, which is the order of offsets.
  const offsets = new Set<number>();
  return {
    open: (offset) => void offsets.add(offset),
    close: (offset) => void offsets.delete(offset),
    get lowestOpen() {
      return offsets.values().next().value;
    },
    get size() {
      return offsets.size;
    },
  };
}

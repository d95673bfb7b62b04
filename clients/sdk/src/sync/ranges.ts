/** Sets of `seq` as ranges: ascending, disjoint, not touching. */
import type { SeqRange } from "../storage/client-storage.ts";

/** The set with `range` added. */
export function addRange(ranges: readonly SeqRange[], range: SeqRange): SeqRange[] {
  if (range.last < range.first) return [...ranges];
  let { first, last } = range;
  const before: SeqRange[] = [];
  const after: SeqRange[] = [];
  for (const other of ranges) {
    if (other.last + 1n < first) before.push(other);
    else if (other.first > last + 1n) after.push(other);
    else {
      if (other.first < first) first = other.first;
      if (other.last > last) last = other.last;
    }
  }
  return [...before, { first, last }, ...after];
}

/** The set without `range`. */
export function removeRange(ranges: readonly SeqRange[], range: SeqRange): SeqRange[] {
  return ranges.flatMap((other) => {
    if (other.last < range.first || other.first > range.last) return [other];
    const rest: SeqRange[] = [];
    if (other.first < range.first) rest.push({ first: other.first, last: range.first - 1n });
    if (other.last > range.last) rest.push({ first: range.last + 1n, last: other.last });
    return rest;
  });
}

/** The range that holds `seq`. */
export function rangeAt(ranges: readonly SeqRange[], seq: bigint): SeqRange | undefined {
  return ranges.find((range) => range.first <= seq && seq <= range.last);
}

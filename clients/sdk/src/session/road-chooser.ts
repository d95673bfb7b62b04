/** Which road to try next. Pure but for the clock it is given. */
import type { RoadName } from "./road.ts";

/** A road that worked is tried this often alone before others: the server may just be restarting. */
const PROVEN_FAILURES_MAX = 3;
/** A road whose sessions break right after opening this often in a row gives way to the next one. */
const BREAKS_MAX = 3;

export type RoadChooser = {
  /** The road to try now. */
  next(): RoadName;
  /** The road did not lead to a session. True when every road was tried: wait before the next try. */
  failed(name: RoadName): boolean;
  /** The road led to a session. */
  opened(name: RoadName): void;
  /** The session broke right after opening. */
  broke(name: RoadName): void;
  /** The session lasted. */
  lasted(): void;
  /** Roads that are better than the one in use. */
  better(name: RoadName): readonly RoadName[];
};

/** Creates a chooser among `roads`, best first; `remembered` worked the last time. */
export function createRoadChooser(options: {
  readonly roads: readonly RoadName[];
  readonly remembered: RoadName | undefined;
}): RoadChooser {
  const { roads } = options;
  const best = roads[0];
  if (best === undefined) throw new RangeError("There is no road to choose from.");
  let proven =
    options.remembered && roads.includes(options.remembered) ? options.remembered : undefined;
  // What worked in an earlier run may not work here: it comes first, but the others follow at once.
  let provenFailures = PROVEN_FAILURES_MAX;
  let cycle: RoadName[] = [];
  let breaks = 0;

  const startCycle = (): RoadName[] => {
    if (proven === undefined) return [...roads];
    if (provenFailures < PROVEN_FAILURES_MAX) return [proven];
    return [proven, ...roads.filter((name) => name !== proven)];
  };
  return {
    next() {
      if (cycle.length === 0) cycle = startCycle();
      return cycle[0] ?? best;
    },
    failed(name) {
      if (name === proven) provenFailures++;
      if (cycle[0] === name) cycle.shift();
      return cycle.length === 0;
    },
    opened(name) {
      proven = name;
      provenFailures = 0;
      cycle = [];
    },
    broke(name) {
      if (++breaks < BREAKS_MAX) return;
      breaks = 0;
      proven = undefined;
      cycle = roads.filter((other) => other !== name);
    },
    lasted() {
      breaks = 0;
    },
    better(name) {
      return roads.slice(0, Math.max(0, roads.indexOf(name)));
    },
  };
}

/** Looks from time to time whether a better road than the present one has become passable. */
import type { LiveSession } from "./live-session.ts";
import type { RoadName } from "./road.ts";

export type RoadProbe = {
  /** A session that opened on a better road; never settles otherwise. */
  readonly found: Promise<LiveSession>;
  /** Ends probing, and every probed session but the adopted one. */
  stop(adopted?: LiveSession): void;
};

/** Starts probing `roads`, best first, every `intervalMs`. The present session goes on meanwhile. */
export function probeBetterRoads(options: {
  readonly roads: readonly RoadName[];
  readonly intervalMs: number;
  readonly open: (road: RoadName) => Promise<LiveSession>;
  readonly close: (session: LiveSession) => void;
}): RoadProbe {
  let stopped = false;
  let probed: LiveSession | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** The first road that leads to a session; undefined if none does. */
  const tryRoads = async (): Promise<LiveSession | undefined> => {
    for (const road of options.roads) {
      if (stopped) return undefined;
      try {
        probed = await options.open(road);
        if (stopped) options.close(probed);
        await probed.opened;
        return probed;
      } catch {
        // Still closed; the present road goes on.
      }
    }
    return undefined;
  };
  const found = new Promise<LiveSession>((resolve) => {
    const plan = () => {
      timer = setTimeout(async () => {
        const session = await tryRoads();
        if (session) resolve(session);
        else if (!stopped) plan();
      }, options.intervalMs);
    };
    if (options.roads.length > 0) plan();
  });
  return {
    found,
    stop(adopted) {
      stopped = true;
      clearTimeout(timer);
      if (probed && probed !== adopted) options.close(probed);
    },
  };
}

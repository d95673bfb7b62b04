/** Who watches whom, inside one process. */
import type { PresenceState } from "../domain/presence-rules.ts";
import type { PresenceWatch } from "../ports.ts";

export type WatchTable = {
  open(onState: (state: PresenceState) => void): PresenceWatch;
  /** Tells every watch that holds the person. */
  report(state: PresenceState): void;
  /** Everybody who is watched. */
  userIds(): string[];
  readonly userCount: number;
};

type Watcher = {
  readonly onState: (state: PresenceState) => void;
  readonly userIds: Set<string>;
  /** One set per `add` that still reads: the people of whom something newer was reported meanwhile. */
  readonly reportedMeanwhile: Set<Set<string>>;
};

/** Creates an empty table; `read` gives present states. */
export function createWatchTable(
  read: (userIds: readonly string[]) => Promise<PresenceState[]>,
): WatchTable {
  // Insertion order is the order of reporting.
  const watchers = new Map<string, Set<Watcher>>();

  const takeOut = (userId: string, watcher: Watcher) => {
    const all = watchers.get(userId);
    if (all === undefined) return;
    all.delete(watcher);
    if (all.size === 0) watchers.delete(userId);
  };

  const add = async (watcher: Watcher, userIds: readonly string[]) => {
    for (const userId of userIds) {
      watcher.userIds.add(userId);
      let all = watchers.get(userId);
      if (all === undefined) {
        all = new Set();
        watchers.set(userId, all);
      }
      all.add(watcher);
    }
    const reported = new Set<string>();
    watcher.reportedMeanwhile.add(reported);
    try {
      for (const state of await read(userIds)) {
        const { userId } = state;
        if (watcher.userIds.has(userId) && !reported.has(userId)) watcher.onState(state);
      }
    } finally {
      watcher.reportedMeanwhile.delete(reported);
    }
  };

  return {
    open(onState) {
      const watcher: Watcher = { onState, userIds: new Set(), reportedMeanwhile: new Set() };
      return {
        add: (userIds) => add(watcher, userIds),
        remove(userIds) {
          for (const userId of userIds) {
            if (watcher.userIds.delete(userId)) takeOut(userId, watcher);
          }
        },
        get size() {
          return watcher.userIds.size;
        },
        [Symbol.dispose]() {
          for (const userId of watcher.userIds) takeOut(userId, watcher);
          watcher.userIds.clear();
        },
      };
    },
    report(state) {
      const all = watchers.get(state.userId);
      if (all === undefined) return;
      for (const watcher of all) {
        for (const reported of watcher.reportedMeanwhile) reported.add(state.userId);
        watcher.onState(state);
      }
    },
    userIds: () => [...watchers.keys()],
    get userCount() {
      return watchers.size;
    },
  };
}

/** Waiting for something to become true, looking again whenever something changed. */
import { orAborted } from "./sleep.ts";

export type Changes = {
  /** Resolves as soon as the condition holds; rejects with the signal's reason when that comes first. */
  until(condition: () => boolean, signal: AbortSignal): Promise<void>;
  /** Something changed that somebody may wait for. */
  wake(): void;
};

export function createChanges(): Changes {
  const waiters = new Set<() => void>();
  return {
    async until(condition, signal) {
      while (!condition()) {
        const changed = new Promise<void>((resolve) => {
          const waiter = () => {
            waiters.delete(waiter);
            resolve();
          };
          waiters.add(waiter);
        });
        await orAborted(changed, signal);
      }
    },
    wake() {
      for (const waiter of [...waiters]) waiter();
    },
  };
}

/** A typed event emitter. */

export type Listener<T> = (event: T) => void;

export type Emitter<Events> = {
  /** Calls `listener` for every event of the kind from now on; returns the function that ends it. */
  on<K extends keyof Events>(kind: K, listener: Listener<Events[K]>): () => void;
  emit<K extends keyof Events>(kind: K, event: Events[K]): void;
  /** Removes every listener. */
  clear(): void;
};

/**
 * Creates an emitter. Listeners are called in the order in which they were added, at once; one that throws
 * does not keep the others from being called, and `onFailure` hears of it.
 */
export function createEmitter<Events>(onFailure: (error: unknown) => void): Emitter<Events> {
  const listeners = new Map<keyof Events, Set<Listener<never>>>();
  return {
    on(kind, listener) {
      // A wrapper per call: the same function added twice is called twice, and removed one by one.
      const entry: Listener<never> = (event) => listener(event);
      const set = listeners.get(kind) ?? new Set();
      listeners.set(kind, set.add(entry));
      return () => set.delete(entry);
    },
    emit(kind, event) {
      for (const listener of [...(listeners.get(kind) ?? [])]) {
        try {
          (listener as Listener<typeof event>)(event);
        } catch (error) {
          onFailure(error);
        }
      }
    },
    clear() {
      listeners.clear();
    },
  };
}

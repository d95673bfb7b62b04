/** A cache of promises that forgets what was not used for longest when the sum of sizes is too large. */
export type LruCache<Value> = {
  /**
   * The value of a key, loaded on the first demand; concurrent demands share one load. A load that
   * fails is not kept.
   */
  get(key: string, size: number, load: () => Promise<Value>): Promise<Value>;
};

export function createLruCache<Value>(sizeMax: number): LruCache<Value> {
  // A Map iterates in insertion order, and a hit is inserted anew: the first key is the oldest.
  const entries = new Map<string, { readonly size: number; readonly value: Promise<Value> }>();
  let sizeSum = 0;

  const remove = (key: string): void => {
    sizeSum -= entries.get(key)?.size ?? 0;
    entries.delete(key);
  };

  return {
    get: (key, size, load) => {
      const hit = entries.get(key);
      if (hit !== undefined) {
        entries.delete(key);
        entries.set(key, hit);
        return hit.value;
      }
      const entry = { size, value: load() };
      entries.set(key, entry);
      sizeSum += size;
      entry.value.catch(() => {
        if (entries.get(key) === entry) remove(key);
      });
      for (const oldest of entries.keys()) {
        if (sizeSum <= sizeMax || oldest === key) break;
        remove(oldest);
      }
      return entry.value;
    },
  };
}

/** A promise together with the functions that settle it. */
export type Deferred<T> = {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
};

/** Creates a deferred; settling it a second time does nothing. */
export function createDeferred<T>(): Deferred<T> {
  return Promise.withResolvers<T>();
}

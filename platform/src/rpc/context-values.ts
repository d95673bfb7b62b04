import type { ContextKey, ContextValues } from "@connectrpc/connect";

/**
 * Context values that read through to `parent` and keep what is set to themselves: what a callee sets
 * (a caller's elevation, for instance) never leaks back into the values its caller passes on elsewhere.
 */
export function forkContextValues(parent?: ContextValues): ContextValues {
  return new ForkedContextValues(parent);
}

class ForkedContextValues implements ContextValues {
  readonly #parent: ContextValues | undefined;
  #own: Map<symbol, unknown> | undefined;

  constructor(parent: ContextValues | undefined) {
    this.#parent = parent;
  }

  get<T>(key: ContextKey<T>): T {
    if (this.#own?.has(key.id)) return this.#own.get(key.id) as T;
    return this.#parent === undefined ? key.defaultValue : this.#parent.get(key);
  }

  set<T>(key: ContextKey<T>, value: T): this {
    this.#own ??= new Map();
    this.#own.set(key.id, value);
    return this;
  }

  delete(key: ContextKey<unknown>): this {
    return this.set(key, key.defaultValue);
  }
}

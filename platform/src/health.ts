/** Who can serve, component by component; behind /healthz, /readyz and the gRPC health service. */

export type ComponentHealth = {
  readonly component: string;
  readonly serving: boolean;
  /** Why it does not serve; a sentence for an operator. Empty while it serves. */
  readonly reason: string;
};

export type Health = {
  /** Sets a component's state; the first call registers it. */
  set(component: string, serving: boolean, reason?: string): void;
  remove(component: string): void;
  /** Undefined for a component nobody registered. */
  get(component: string): ComponentHealth | undefined;
  /** Every component, in order of registration. */
  snapshot(): readonly ComponentHealth[];
  /** True when every component serves. */
  readonly serving: boolean;
  /** Calls `listener` after each change until disposed. */
  watch(listener: () => void): Disposable;
};

/** Creates an empty registry: serving, until a component says otherwise. */
export function createHealth(): Health {
  const components = new Map<string, ComponentHealth>();
  const listeners = new Set<() => void>();
  const changed = () => {
    for (const listener of [...listeners]) listener();
  };
  return {
    set(component, serving, reason = "") {
      const before = components.get(component);
      const after = { component, serving, reason: serving ? "" : reason };
      if (before?.serving === serving && before.reason === after.reason) return;
      components.set(component, after);
      changed();
    },
    remove(component) {
      if (components.delete(component)) changed();
    },
    get: (component) => components.get(component),
    snapshot: () => [...components.values()],
    get serving() {
      return [...components.values()].every((component) => component.serving);
    },
    watch(listener) {
      // A function of its own, so that the same listener can watch twice and be disposed of separately.
      const entry = () => listener();
      listeners.add(entry);
      return { [Symbol.dispose]: () => void listeners.delete(entry) };
    },
  };
}

/**
 * What `/readyz` answers: JSON with one component per line, those that do not serve first, so that whoever
 * reads it in a terminal sees what is wrong and why without a tool.
 */
export function renderHealth(health: Pick<Health, "serving" | "snapshot">): string {
  const components = health.snapshot().toSorted((a, b) => Number(a.serving) - Number(b.serving));
  const lines = components.map(({ component, serving, reason }) =>
    JSON.stringify({ component, serving, reason }),
  );
  return `{"serving":${health.serving},"components":[\n${lines.join(",\n")}\n]}\n`;
}

/** Bytes that many sessions hold together; who wants more waits until others gave some back. */
export class ByteBudget {
  readonly #bytesMax: number;
  #used = 0;
  #waiters: (() => void)[] = [];

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get full(): boolean {
    return this.#used >= this.#bytesMax;
  }

  get used(): number {
    return this.#used;
  }

  /** Counts bytes that are held already; may go above the limit by one page. */
  add(bytes: number): void {
    this.#used += bytes;
  }

  release(bytes: number): void {
    this.#used -= bytes;
    if (this.full) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resume of waiters) resume();
  }

  /** Resolves once there is room. Callers hold nothing while they wait, so somebody always goes on. */
  async room(): Promise<void> {
    while (this.full) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
}

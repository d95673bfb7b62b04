/** Doing something until it is done: a store that cannot be reached makes its users wait, and loses nothing. */
import { createBackoff } from "@parley/platform/async/backoff";
import { sleep } from "@parley/platform/async/sleep";
import { StoreClosedError } from "../ports.ts";

export type Persistence = {
  /** Runs `work` again, after growing pauses, until it resolves. Rejects only with StoreClosedError. */
  untilDone<T>(work: () => Promise<T>): Promise<T>;
  /** True while something failed and has not succeeded since. */
  readonly failing: boolean;
  /** Ends the pauses; what fails from now on is given up. */
  close(): void;
};

export type PersistenceOptions = {
  /** Called when the first thing fails. Must not throw. */
  readonly onProblem: (error: unknown) => void;
  /** Called when everything that failed has succeeded. Must not throw. */
  readonly onRecovered: () => void;
};

/** Each attempt has had retries of its own already. An operator should not have to wait longer than this. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5000;

export function createPersistence({ onProblem, onRecovered }: PersistenceOptions): Persistence {
  const closing = new AbortController();
  const { signal } = closing;
  let failing = 0;

  async function repeat<T>(work: () => Promise<T>, error: unknown): Promise<T> {
    if (failing++ === 0 && !signal.aborted) onProblem(error);
    const backoff = createBackoff({ initialMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
    let done = false;
    try {
      for (;;) {
        await sleep(backoff.next(), signal);
        const result = await work().then(
          (value) => ({ value }),
          () => undefined,
        );
        if (result === undefined) continue;
        done = true;
        return result.value;
      }
    } finally {
      if (--failing === 0 && done) onRecovered();
    }
  }

  return {
    async untilDone(work) {
      try {
        return await work();
      } catch (error) {
        return await repeat(work, error);
      }
    },
    get failing() {
      return failing > 0;
    },
    close: () => closing.abort(new StoreClosedError("The inbox store is closed.")),
  };
}

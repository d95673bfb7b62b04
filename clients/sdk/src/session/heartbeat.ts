/** Signs of life in both directions. */

/** A server that is silent for this many intervals, and for at least `silenceMsMin`, is taken for lost. */
const SILENT_INTERVALS_MAX = 3;

export type Heartbeat = {
  /** Something was heard from the server. */
  heard(): void;
  stop(): void;
};

/**
 * Beats every interval, and reports silence once. A tick that comes far too late (a laptop that slept, a
 * throttled background tab) does not judge: nothing was sent meanwhile, so nothing could be answered.
 */
export function createHeartbeat(options: {
  readonly intervalMs: number;
  readonly silenceMsMin: number;
  readonly now: () => number;
  readonly beat: () => void;
  readonly onSilence: () => void;
}): Heartbeat {
  const { intervalMs, now } = options;
  const silenceMs = Math.max(options.silenceMsMin, SILENT_INTERVALS_MAX * intervalMs);
  let heardMs = now();
  let tickMs = now();
  const timer = setInterval(() => {
    const late = now() - tickMs > 2 * intervalMs;
    tickMs = now();
    if (late) heardMs = now();
    else if (now() - heardMs > silenceMs) {
      clearInterval(timer);
      return options.onSilence();
    }
    options.beat();
  }, intervalMs);
  return {
    heard() {
      heardMs = now();
    },
    stop() {
      clearInterval(timer);
    },
  };
}

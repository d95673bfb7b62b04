/** Standard output and standard error as places that never end or hold up the process that writes to them. */
import type { LogDestination } from "./telemetry/logger.ts";

/** What is used of `process.stdout` and `process.stderr`. */
export type OutputStream = {
  write(text: string): unknown;
  on?(event: "error", listener: (error: unknown) => void): unknown;
  /** What was written and nobody has read yet. */
  readonly writableLength?: number;
};

/** Of a pipe whose reader stands still; some thousand lines. What comes after them is left out. */
const WAITING_CHARACTERS_MAX = 1024 * 1024;

/**
 * A reader that goes away (a supervisor that died, `| head`) breaks the pipe. Node then reports each line as an
 * error that nobody caught, and telling of that is another line: a process would do nothing else any more, not
 * even stop when it is told to. So errors of the stream end here, and the process goes on without a reader.
 * Of a reader that only stands still, not more than 1 MiB is kept; one line then counts what was left out.
 */
export function createProcessOutput(stream: OutputStream): LogDestination {
  let leftOut = 0;
  stream.on?.("error", () => undefined);
  const write = (text: string) => {
    try {
      stream.write(text);
    } catch {
      // As above, of streams that fail at once.
    }
  };
  return {
    write(line) {
      if ((stream.writableLength ?? 0) > WAITING_CHARACTERS_MAX) {
        leftOut++;
        return;
      }
      if (leftOut > 0) {
        write(`${leftOut} lines were left out here, because nobody read them.\n`);
        leftOut = 0;
      }
      write(line);
    },
  };
}

/** A terminal on which lines appear above what the person is typing. */
import { clearScreenDown, createInterface, cursorTo, moveCursor } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { createAsyncQueue } from "@parley/sdk/async/queue";

export type Screen = {
  /** Shows a text above the prompt; what is being typed stays. */
  print(text: string): void;
  /** Replaces the prompt; what is being typed stays. */
  setPrompt(prompt: string): void;
  /** What the person enters, line by line, without the echo on screen; ends with Ctrl-D or Ctrl-C. */
  readonly lines: AsyncIterable<string>;
  /** Called while something is being typed. */
  onTyping(listener: () => void): void;
  close(): void;
};

const COLUMNS_DEFAULT = 80;
/** Entered lines that may wait to be carried out; a person types no more, and what is pasted is cut. */
const ENTERED_LINES_MAX = 10_000;
/** Lines that the up key brings back. */
const HISTORY_LINES_MAX = 200;

export function createScreen(options: {
  readonly input: Readable;
  readonly output: Writable & { readonly columns?: number | undefined };
}): Screen {
  const { input, output } = options;
  const lines = createInterface({ input, output, terminal: true, historySize: HISTORY_LINES_MAX });
  let prompt = "> ";
  let open = true;
  lines.setPrompt(prompt);
  lines.on("close", () => {
    open = false;
    entered.close();
  });
  lines.on("SIGINT", () => lines.close());

  /** Takes the echo of an entered line away: what it became is shown in its place. */
  const erase = (line: string) => {
    const columns = output.columns || COLUMNS_DEFAULT;
    const width = stripVTControlCharacters(prompt).length + line.length;
    moveCursor(output, 0, -(Math.floor(width / columns) + 1));
    cursorTo(output, 0);
    clearScreenDown(output);
  };
  // Lines that are entered before anybody asks for them wait.
  const entered = createAsyncQueue<string>(ENTERED_LINES_MAX);
  lines.on("line", (line) => {
    erase(line);
    lines.prompt();
    entered.push(line);
  });
  return {
    print(text) {
      if (!open) {
        output.write(`${text}\n`);
        return;
      }
      const { rows } = lines.getCursorPos();
      moveCursor(output, 0, -rows);
      cursorTo(output, 0);
      clearScreenDown(output);
      // Drawing the prompt again moves up as many rows as the cursor was below the prompt's first row.
      output.write(`${text}\n${"\n".repeat(rows)}`);
      lines.prompt(true);
    },
    setPrompt(next) {
      if (next === prompt) return;
      prompt = next;
      lines.setPrompt(next);
      if (open) lines.prompt(true);
    },
    lines: entered,
    onTyping(listener) {
      input.on("keypress", () => {
        if (lines.line !== "") listener();
      });
    },
    close() {
      lines.close();
    },
  };
}

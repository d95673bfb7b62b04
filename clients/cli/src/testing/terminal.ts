/** A terminal for tests: what is typed goes in, and the screen is what a person would see. */
import { PassThrough } from "node:stream";

const COLUMNS = 100;
/** Longer than anything here takes on a busy machine. */
const WAIT_MS_MAX = 10_000;

export type TestTerminal = {
  readonly input: PassThrough & { readonly isTTY: true };
  readonly output: PassThrough & { readonly columns: number };
  type(text: string): void;
  /** The lines on the screen, without blank ones at the end. */
  screen(): readonly string[];
  /** Resolves when the screen satisfies the condition. */
  until(condition: (screen: string) => boolean): Promise<string>;
};

export function createTerminal(): TestTerminal {
  const input = Object.assign(new PassThrough(), { isTTY: true as const });
  const output = Object.assign(new PassThrough(), { columns: COLUMNS });
  const screen = new ScreenModel();
  const watchers = new Set<() => void>();
  output.setEncoding("utf8").on("data", (text: string) => {
    screen.write(text);
    for (const watcher of [...watchers]) watcher();
  });
  return {
    input,
    output,
    type: (text) => void input.write(text),
    screen: () => screen.lines(),
    until(condition) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          watchers.delete(watcher);
          reject(new Error(`The screen does not come to look so:\n${screen.lines().join("\n")}`));
        }, WAIT_MS_MAX);
        const watcher = () => {
          const text = screen.lines().join("\n");
          if (!condition(text)) return;
          clearTimeout(timer);
          watchers.delete(watcher);
          resolve(text);
        };
        watchers.add(watcher);
        watcher();
      });
    },
  };
}

/** Enough of a VT100: text, line breaks, cursor movement, clearing. Colours are ignored; nothing scrolls away. */
class ScreenModel {
  #rows: string[][] = [[]];
  #row = 0;
  #column = 0;

  write(text: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is read.
    for (const part of text.match(/\u001b\[[0-9;?]*[A-Za-z]|\r|\n|[^\u001b\r\n]/gu) ?? []) {
      if (part === "\r") this.#column = 0;
      else if (part === "\n") {
        // Terminals are told to return at a line feed, also while readline reads key by key.
        this.#column = 0;
        this.#down(1);
      } else if (part.startsWith("\u001b")) this.#control(part);
      else this.#put(part);
    }
  }

  lines(): readonly string[] {
    const lines = this.#rows.map((row) =>
      Array.from(row, (cell) => cell ?? " ")
        .join("")
        .trimEnd(),
    );
    while (lines.at(-1) === "") lines.pop();
    return lines;
  }

  #put(character: string): void {
    if (this.#column === COLUMNS) {
      this.#column = 0;
      this.#down(1);
    }
    const row = this.#rows[this.#row] ?? [];
    row[this.#column++] = character;
  }

  #down(count: number): void {
    this.#row += count;
    while (this.#rows.length <= this.#row) this.#rows.push([]);
  }

  #control(sequence: string): void {
    const count = Number.parseInt(sequence.slice(2), 10) || 1;
    switch (sequence.at(-1)) {
      case "A":
        this.#row = Math.max(0, this.#row - count);
        break;
      case "B":
        this.#down(count);
        break;
      case "C":
        this.#column = Math.min(COLUMNS, this.#column + count);
        break;
      case "D":
        this.#column = Math.max(0, this.#column - count);
        break;
      case "G":
        this.#column = count - 1;
        break;
      case "J":
        this.#rows.length = this.#row + 1;
        this.#rows[this.#row]?.splice(this.#column);
        break;
      case "K":
        this.#rows[this.#row]?.splice(this.#column);
        break;
    }
  }
}

/** What a command gets of the process, so that tests can bring their own. */
import type { Readable, Writable } from "node:stream";
import type { ProcessHost } from "@parley/platform/run-process";
import type { OwnProcess } from "@parley/sdk/node/file-storage";

export type CliWorld = {
  /** The arguments after the command's name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Readable & { readonly isTTY?: boolean | undefined };
  readonly stdout: Writable & { readonly isTTY?: boolean | undefined };
  readonly stderr: Writable;
  /** The process itself, for what ends with it and for locks. */
  readonly process: ProcessHost & OwnProcess;
  /** Aborts when the process is asked to end. */
  readonly signal: AbortSignal;
};

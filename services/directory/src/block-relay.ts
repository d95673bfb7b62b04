/**
 * Makes blocks count in direct conversations. The call that changed a block brings it there and waits; what
 * it could not bring (a crash, a part that is down) is found in the outbox and brought later.
 */
import { sleep } from "@parley/platform/async/sleep";
import type { Telemetry } from "@parley/platform/telemetry/telemetry";
import type { BlockOutbox, PendingBlock, SendPermissions } from "./contact-ports.ts";

export type BlockRelayDependencies = {
  readonly outbox: BlockOutbox;
  /** Sets who may write in the direct conversation of the two; resolves when it is applied. */
  readonly setSendPermission: (
    blockerUserId: string,
    blockedUserId: string,
    maySend: boolean,
  ) => Promise<void>;
  readonly telemetry: Pick<Telemetry, "log">;
  /** How often the outbox is searched, in ms. */
  readonly sweepIntervalMs?: number;
};

export type BlockRelay = SendPermissions &
  AsyncDisposable & {
    /** Begins to work on what is in the outbox, and looks again from time to time. */
    start(): void;
  };

const SWEEP_INTERVAL_MS = 5000;
/** Entries per sweep; they are brought one after the other, so that people who wait come first. */
const ENTRIES_PER_SWEEP_MAX = 200;

/** Creates the relay; nothing runs before `start` or the first wait. */
export function createBlockRelay(dependencies: BlockRelayDependencies): BlockRelay {
  const { outbox, setSendPermission, telemetry } = dependencies;
  const { sweepIntervalMs = SWEEP_INTERVAL_MS } = dependencies;
  const stopped = new AbortController();
  const { signal } = stopped;
  let running: Promise<void> | undefined;

  const bring = async (block: PendingBlock) => {
    await setSendPermission(block.blockerUserId, block.blockedUserId, !block.blocked);
    await outbox.deletePendingBlock(block);
  };

  const sweep = async () => {
    for (const block of await outbox.listPendingBlocks(ENTRIES_PER_SWEEP_MAX)) {
      if (signal.aborted) return;
      try {
        await bring(block);
      } catch (error) {
        telemetry.log.warn({ error }, "A block did not reach its conversation; it is repeated.");
      }
    }
  };

  const run = async () => {
    while (!signal.aborted) {
      await sweep().catch((error: unknown) =>
        telemetry.log.warn({ error }, "The outbox of blocks could not be read."),
      );
      await sleep(sweepIntervalMs, signal).catch(() => undefined);
    }
  };

  return {
    start() {
      running ??= run();
    },
    async waitApplied(blockerUserId, blockedUserId) {
      const pending = await outbox.readPendingBlock(blockerUserId, blockedUserId);
      if (pending !== undefined) await bring(pending);
    },
    async [Symbol.asyncDispose]() {
      stopped.abort();
      await running;
    },
  };
}

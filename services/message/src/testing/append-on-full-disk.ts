/**
 * A process whose message store meets a full disk: its parent starts it with a limit to the size of files, and
 * lifts that when told that appends are refused, unless it wants to see how the service ends.
 */
import { once } from "node:events";
import { reasonOf } from "@parley/platform/errors";
import { createTelemetry } from "@parley/platform/telemetry/telemetry";
import {
  asDevice,
  createdItem,
  type MessageWorld,
  messageItem,
  openMessageWorld,
} from "./message-world.ts";

export const FULL_DISK_CONVERSATION = {
  conversationId: "00000000-0000-7000-8000-000000000001",
  ann: "10000000-0000-7000-8000-000000000001",
  ben: "20000000-0000-7000-8000-000000000001",
} as const;

export type FullDiskReport =
  /** Appends are refused. */
  | {
      readonly event: "refused";
      readonly reason: string | undefined;
      readonly receiptReason: string | undefined;
      readonly serving: boolean;
    }
  | {
      readonly event: "ended";
      readonly acks: readonly { readonly id: string; readonly seq: number }[];
      /** Lines of the log about the store, by level. */
      readonly lines: readonly string[];
      readonly unhandled: number;
      readonly serving: boolean;
    };

type Mode = "recover" | "close";

/** Appends that are begun at most; together far more than the files have room for. */
const APPENDS_MAX = 600;
const PAYLOAD_BYTES = 16 * 1024;

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2));
}

/** The service, on a log whose segments stay far below the limit that the store's one file meets. */
async function openWorld(directory: string, lines: string[]) {
  const telemetry = createTelemetry({
    serviceName: "test",
    logLevel: "info",
    logFormat: "json",
    showPersonal: false,
    logDestination: {
      write(line: string) {
        const { level, msg } = JSON.parse(line) as { level: string; msg: string };
        if (msg.includes("store")) lines.push(`${level} ${msg}`);
      },
    },
  });
  const log = { partitionCount: 1, segmentBytesMax: 64 * 1024 };
  return await openMessageWorld({ directory, telemetry, log });
}

class Child {
  readonly acks: { id: string; seq: number }[] = [];
  readonly #world: MessageWorld;
  readonly #mode: Mode;
  readonly #lifted = once(process, "message");
  readonly #told = Promise.withResolvers<void>();
  #isTold = false;
  #ending = false;

  constructor(world: MessageWorld, mode: Mode) {
    this.#world = world;
    this.#mode = mode;
  }

  async run(): Promise<void> {
    const { conversationId, ann, ben } = FULL_DISK_CONVERSATION;
    await this.#world.append(createdItem(conversationId, [ann, ben]));
    // Whatever waits, more come: one that comes after the store is full is refused at once.
    const appends: Promise<void>[] = [];
    for (let at = 0; at < APPENDS_MAX && !this.#isTold; at++) {
      appends.push(this.#appendUntilAccepted(at));
      await pause();
    }
    await this.#told.promise;
    if (this.#mode === "recover") await Promise.all(appends);
    this.#ending = true;
  }

  async #appendUntilAccepted(at: number): Promise<void> {
    const { conversationId, ann } = FULL_DISK_CONVERSATION;
    const clientMessageId = `30000000-0000-7000-8000-${String(at).padStart(12, "0")}`;
    const payload = new Uint8Array(PAYLOAD_BYTES).fill(at % 256);
    while (!this.#ending) {
      const item = messageItem(conversationId, ann, { clientMessageId, deviceId: "d", payload });
      try {
        const { seq } = await this.#world.append(item);
        this.acks.push({ id: clientMessageId, seq: Number(seq) });
        return;
      } catch (error) {
        const reason = reasonOf(error);
        if (reason === "STORE_NOT_WRITABLE") await this.#tell(reason);
        if (this.#mode === "recover") await this.#lifted;
        await pause();
      }
    }
  }

  async #tell(reason: string): Promise<void> {
    if (this.#isTold) return;
    this.#isTold = true;
    const { conversationId, ben } = FULL_DISK_CONVERSATION;
    const { messages, health } = this.#world;
    const receipt = { conversationId, readSeq: 1n, deliveredSeq: 1n };
    const receiptReason = await messages.updateReceipt(receipt, asDevice(ben)).then(
      () => "it was taken",
      (error: unknown) => reasonOf(error),
    );
    report({ event: "refused", reason, receiptReason, serving: health.serving });
    this.#told.resolve();
  }
}

function report(what: FullDiskReport): void {
  process.send?.(what);
}

async function appendOnFullDisk(directory: string, mode: Mode): Promise<void> {
  const lines: string[] = [];
  let unhandled = 0;
  process.on("unhandledRejection", () => unhandled++);
  const world = await openWorld(directory, lines);
  const child = new Child(world, mode);
  await child.run();
  const { serving } = world.health;
  await world[Symbol.asyncDispose]();
  await new Promise((resolve) => setImmediate(resolve));
  report({ event: "ended", acks: child.acks, lines, unhandled, serving });
  process.disconnect?.();
}

if (import.meta.main) {
  const [directory = "", mode = "recover"] = process.argv.slice(2);
  await appendOnFullDisk(directory, mode as Mode);
}

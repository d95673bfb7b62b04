/**
 * A process that appends until it is killed: `node append-child.ts DIRECTORY SEED`. Writes a line to standard
 * output before each append (`try`) and after each answer (`ack`), so that whoever killed it knows both.
 */
import { writeSync } from "node:fs";
import { createdItem, messageItem, openMessageWorld } from "./message-world.ts";

/** What parent and child agree on. */
export const CHILD_CONVERSATIONS = 12;

export function childConversation(at: number) {
  const tail = String(at).padStart(12, "0");
  return {
    conversationId: `00000000-0000-7000-8000-${tail}`,
    people: [`10000000-0000-7000-8000-${tail}`, `20000000-0000-7000-8000-${tail}`] as const,
  };
}

export type ChildLine =
  | { readonly kind: "ready" }
  | { readonly kind: "try"; readonly at: number; readonly id: string }
  | {
      readonly kind: "ack";
      readonly at: number;
      readonly id: string;
      readonly seq: number;
      readonly messageId: string;
    };

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Synchronous, so that nothing is said later than it is known; waits while the pipe is full. */
function say(line: ChildLine): void {
  for (let rest = Buffer.from(`${JSON.stringify(line)}\n`); rest.byteLength > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}

async function appendForEver(directory: string, run: string): Promise<void> {
  const world = await openMessageWorld({ directory });
  const conversations = Array.from({ length: CHILD_CONVERSATIONS }, (_, at) => ({
    at,
    ...childConversation(at),
  }));
  for (const { conversationId, people } of conversations) {
    await world.append(createdItem(conversationId, people));
  }
  say({ kind: "ready" });
  let next = 0;
  const send = async ({ at, conversationId, people }: (typeof conversations)[number]) => {
    for (;;) {
      const id = `30000000-0000-7000-${run}-${String(next++).padStart(12, "0")}`;
      const sender = people[next % 2] ?? people[0];
      say({ kind: "try", at, id });
      const item = messageItem(conversationId, sender, { clientMessageId: id, deviceId: "d" });
      const { seq, messageId } = await world.append(item);
      say({ kind: "ack", at, id, seq: Number(seq), messageId: String(messageId) });
    }
  };
  // Two on their way in each conversation, so that their order is decided by the log.
  await Promise.all([...conversations, ...conversations].map(send));
}

if (import.meta.main) {
  const [, , directory = "", run = "8000"] = process.argv;
  await appendForEver(directory, run);
}

/** An answer is a promise: kill -9 of the process in the middle of everything breaks none of them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";
import { CHILD_CONVERSATIONS, type ChildLine, childConversation } from "./testing/append-child.ts";
import {
  asDevice,
  type MessageWorld,
  messageItem,
  openMessageWorld,
} from "./testing/message-world.ts";

const ROUNDS = 3;
const ACKS_PER_ROUND = 1000;

type Ack = Extract<ChildLine, { kind: "ack" }>;
type Try = Extract<ChildLine, { kind: "try" }>;

/** Lets a child append until it has had enough answers, and kills it. */
async function appendAndDie(directory: string, run: string) {
  const script = fileURLToPath(new URL("./testing/append-child.ts", import.meta.url));
  const child = spawn(process.execPath, [script, directory, run], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const acks: Ack[] = [];
  const tries: Try[] = [];
  const exited = new Promise<string | null>((resolve) => {
    child.once("exit", (_code, signal) => resolve(signal));
  });
  for await (const text of createInterface({ input: child.stdout })) {
    const line = parseLine(text);
    if (line?.kind === "try") tries.push(line);
    if (line?.kind === "ack") acks.push(line);
    if (acks.length === ACKS_PER_ROUND) child.kill("SIGKILL");
  }
  assert.equal(await exited, "SIGKILL");
  return { acks, tries };
}

/** The last line may have been cut by the kill. */
function parseLine(text: string): ChildLine | undefined {
  try {
    return JSON.parse(text) as ChildLine;
  } catch {
    return undefined;
  }
}

async function readAll(world: MessageWorld, at: number, direction: ReadDirection, reader: 0 | 1) {
  const { conversationId, people } = childConversation(at);
  const found: Message[] = [];
  for (let fromSeq = 0n, more = true; more; ) {
    const page = await world.messages.listMessages(
      { conversationId, fromSeq, direction, pageSize: 200 },
      asDevice(people[reader]),
    );
    found.push(...page.messages);
    more = page.more;
    fromSeq = found.at(-1)?.seq ?? 0n;
  }
  return direction === ReadDirection.OLDER ? found.toReversed() : found;
}

describe("kill -9", () => {
  it(`keeps every one of ${ROUNDS} times ${ACKS_PER_ROUND} answered messages, once and in order`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "parley-kill-"));
    const acks: Ack[] = [];
    const tries: Try[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const made = await appendAndDie(directory, `800${round}`);
      acks.push(...made.acks);
      tries.push(...made.tries);
    }
    {
      await using world = await openMessageWorld({ directory });
      for (let at = 0; at < CHILD_CONVERSATIONS; at++) {
        const timeline = await readAll(world, at, ReadDirection.NEWER, 0);
        assert.deepEqual(await readAll(world, at, ReadDirection.OLDER, 1), timeline);
        assert.deepEqual(
          timeline.map(({ seq }) => Number(seq)),
          timeline.map((_, index) => index + 1),
          "dense",
        );
        const ids = timeline.map(({ clientMessageId }) => clientMessageId);
        assert.equal(new Set(ids).size, ids.length, "each once");
        for (const { seq, id, messageId } of acks.filter((ack) => ack.at === at)) {
          const message = timeline[seq - 1];
          assert.equal(message?.clientMessageId, id, `seq ${seq} of conversation ${at}`);
          assert.equal(String(message.messageId), messageId);
        }
      }
      await repeatUnanswered(world, acks, tries);
    }
    rmSync(directory, { recursive: true });
  });
});

/** Whoever got no answer repeats; what had been accepted is then said to be a duplicate, in its old place. */
async function repeatUnanswered(
  world: MessageWorld,
  acks: readonly Ack[],
  tries: readonly Try[],
): Promise<void> {
  const answered = new Set(acks.map(({ id }) => id));
  const unanswered = tries.filter(({ id }) => !answered.has(id));
  assert.ok(unanswered.length > 0, "nothing was on its way when the process was killed");
  for (const { at, id } of unanswered) {
    const { conversationId, people } = childConversation(at);
    const timeline = await readAll(world, at, ReadDirection.NEWER, 0);
    const before = timeline.find(({ clientMessageId }) => clientMessageId === id);
    const sender = before?.senderUserId ?? people[0];
    const item = messageItem(conversationId, sender, { clientMessageId: id, deviceId: "d" });
    const { duplicate, seq } = await world.append(item);
    assert.equal(duplicate, before !== undefined);
    assert.equal(seq, before?.seq ?? BigInt(timeline.length + 1));
  }
}

// Invariants 1 to 4 under kill -9. Goal: whatever moment the server dies at, every acknowledged message is there once, at
// its place, and a client that reconnects misses nothing. Method: people chat without pause through the SDK while the
// server is killed at random moments and started again; at the end the books are compared with the history.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ParleyClient } from "@parley/sdk";
import { eventually, openPerson } from "../harness/clients.ts";
import { testEnvironment } from "../harness/server.ts";
import { freePort, startServerProcess } from "../harness/server-process.ts";
import { createLedger, online, readAll } from "./crash-ledger.ts";

const ROUNDS = 20;
const ACKED_PER_ROUND_MIN = 1_000;
const PAIRS = 6;
const GROUP_MEMBERS = 5;
const WINDOW = 8; // messages that each sender has on their way
const KILL_DELAY_MS_MAX = 400;

it(`survives ${ROUNDS} rounds of kill -9 under load`, { timeout: 600_000 }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "parley-crash-"));
  const port = await freePort();
  const start = () =>
    startServerProcess({
      directory,
      port,
      environment: {
        ...testEnvironment,
        PARLEY_GATEWAY_PORT: String(port),
        PARLEY_LOG_LEVEL: "warn",
      },
    });
  let server = await start();
  const people: ParleyClient[] = [];
  const ledger = createLedger();
  try {
    const conversations = await openConversations(server, people, ledger);
    const perRound: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const before = ledger.acked;
      await ledger.more(ACKED_PER_ROUND_MIN);
      await sleep(Math.random() * KILL_DELAY_MS_MAX);
      perRound.push(ledger.acked - before);
      await server.kill();
      server = await start();
      await Promise.all(people.map(online));
    }
    ledger.stop();
    await Promise.all(people.map((person) => person.outbox.settled()));
    for (const { conversationId, reader } of conversations) {
      const history = await readAll(reader, conversationId);
      await eventually(
        "readers are told everything",
        () => reader.conversation(conversationId).position >= BigInt(history.length),
      );
      ledger.verify(conversationId, history);
    }
    assert.ok(Math.min(...perRound) >= ACKED_PER_ROUND_MIN);
    t.diagnostic(
      `${ROUNDS} rounds, ${ledger.acked} messages acknowledged, lost 0, doubled 0, out of order 0`,
    );
  } finally {
    ledger.stop();
    await Promise.all(people.map((person) => person.close()));
    await server[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  }
});

/** Pairs who both write, and a group in which everybody writes; everybody's copy is kept in the books. */
async function openConversations(
  server: { readonly url: string },
  people: ParleyClient[],
  ledger: ReturnType<typeof createLedger>,
): Promise<{ conversationId: string; reader: ParleyClient }[]> {
  const join = async (name: string) => {
    const person = await openPerson(server, name);
    people.push(person);
    return person;
  };
  const conversations: { conversationId: string; reader: ParleyClient }[] = [];
  for (let pair = 0; pair < PAIRS; pair += 1) {
    const [left, right] = [await join(`left${pair}`), await join(`right${pair}`)];
    const { id } = await left.openDirect(right.account?.userId ?? "");
    for (const person of [left, right]) {
      ledger.read(person, id);
      ledger.write(person, id, person.account?.username ?? "", WINDOW);
    }
    conversations.push({ conversationId: id, reader: right });
  }
  const members: ParleyClient[] = [];
  for (let member = 0; member < GROUP_MEMBERS; member += 1)
    members.push(await join(`member${member}`));
  const [owner, ...others] = members as [ParleyClient, ...ParleyClient[]];
  const group = await owner.createGroup(
    "Crash",
    others.map((other) => other.account?.userId ?? ""),
  );
  for (const member of members) {
    ledger.read(member, group.id);
    ledger.write(member, group.id, member.account?.username ?? "", WINDOW);
  }
  conversations.push({ conversationId: group.id, reader: others.at(-1) ?? owner });
  return conversations;
}

// Invariants 1 to 4 under the loss of power. Goal: when everything that was not synced is gone, every acknowledged message
// is still there once, at its place. Method: the log lives on a disk in memory that knows what was synced; the stores
// behind it fall back to a copy made some time before, as LMDB does, which syncs behind; SQLite syncs every commit and
// keeps what it has. The books are compared as after kill -9.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createPowerLossFiles } from "@parley/platform/log/embedded/power-loss";
import type { ParleyClient } from "@parley/sdk";
import { eventually, openPerson } from "../harness/clients.ts";
import { startTestServer } from "../harness/server.ts";
import { freePort } from "../harness/server-process.ts";
import { createLedger, type Ledger, online, readAll } from "./crash-ledger.ts";

const ROUNDS = 5;
const ACKED_BEFORE_COPY = 700;
const ACKED_AFTER_COPY = 300;
const WINDOW = 8;
const seed = Number(process.env.PARLEY_TEST_SEED ?? Date.now() % 2 ** 31);

const copier = join(dirname(fileURLToPath(import.meta.url)), "copy-lmdb.main.ts");
const stores = ["message", "fanout"] as const;

it(`survives ${ROUNDS} losses of power under load`, { timeout: 300_000 }, async (t) => {
  t.diagnostic(`seed ${seed} (PARLEY_TEST_SEED repeats it)`);
  const random = mulberry32(seed);
  const root = await mkdtemp(join(tmpdir(), "parley-power-"));
  const port = await freePort();
  let disk = createPowerLossFiles();
  const [data, survivors] = [join(root, "data"), join(root, "survivors")];
  const start = () =>
    startTestServer({
      dataDirectory: data,
      environment: { PARLEY_GATEWAY_PORT: String(port) },
      overrides: { log: { files: disk } },
    });
  let server = await start();
  const people: ParleyClient[] = [];
  const ledger = createLedger();
  try {
    const conversations = await openConversations(server, people, ledger);
    for (let round = 0; round < ROUNDS; round += 1) {
      await ledger.more(ACKED_BEFORE_COPY);
      await copyStores(data, survivors);
      await ledger.more(ACKED_AFTER_COPY);
      await sleep(random() * 200);
      disk.cutPower();
      await cp(join(data, "directory"), join(survivors, "directory"), { recursive: true });
      await Promise.resolve(server[Symbol.asyncDispose]()).catch(() => undefined); // parts fail to end on a dead disk
      await rm(data, { recursive: true });
      await rename(survivors, data);
      disk = disk.afterPowerLoss(random);
      server = await start();
      await Promise.all(people.map(online));
    }
    ledger.stop();
    await Promise.all(people.map((person) => person.outbox.settled()));
    for (const { conversationId, reader } of conversations) {
      const history = await readAll(reader, conversationId);
      const position = () => reader.conversation(conversationId).position;
      await eventually("readers are told everything", () => position() >= BigInt(history.length));
      ledger.verify(conversationId, history);
    }
    assert.ok(ledger.acked >= ROUNDS * (ACKED_BEFORE_COPY + ACKED_AFTER_COPY));
    t.diagnostic(
      `${ROUNDS} rounds, ${ledger.acked} messages acknowledged, lost 0, doubled 0, out of order 0`,
    );
  } finally {
    ledger.stop();
    await Promise.all(people.map((person) => person.close()));
    await server[Symbol.asyncDispose]();
    await rm(root, { recursive: true, force: true });
  }
});

async function copyStores(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const pairs = stores.flatMap((store) => [join(from, store), join(to, store)]);
  await promisify(execFile)(process.execPath, [copier, ...pairs]);
}

async function openConversations(
  server: { readonly url: string },
  people: ParleyClient[],
  ledger: Ledger,
): Promise<{ conversationId: string; reader: ParleyClient }[]> {
  const [ana, ben, cem, dina] = await Promise.all(
    ["ana", "ben", "cem", "dina"].map((name) => openPerson(server, name)),
  );
  if (!ana || !ben || !cem || !dina) throw new Error("four people");
  people.push(ana, ben, cem, dina);
  const idOf = (person: ParleyClient) => person.account?.userId ?? "";
  const direct = await ana.openDirect(idOf(ben));
  const other = await cem.openDirect(idOf(dina));
  const group = await ana.createGroup("Power", [idOf(ben), idOf(cem), idOf(dina)]);
  const rooms = [
    { id: direct.id, members: [ana, ben] },
    { id: other.id, members: [cem, dina] },
    { id: group.id, members: [ana, ben, cem, dina] },
  ];
  for (const { id, members } of rooms) {
    for (const person of members) {
      ledger.read(person, id);
      ledger.write(person, id, `${person.account?.username} in ${id}`, WINDOW);
    }
  }
  return rooms.map(({ id, members }) => ({ conversationId: id, reader: members.at(-1) ?? ana }));
}

/** A small seeded generator (Mulberry32): uniform in [0, 1). */
function mulberry32(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

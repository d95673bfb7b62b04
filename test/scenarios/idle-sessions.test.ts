// Goal: 10,000 idle sessions hold. Method: a load process opens them and only keeps them alive, for longer than the 30 s
// after which a silent one counts as offline; some are held here instead, to see that a message still arrives. Server
// and load are processes of their own, so that each has its own descriptors.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { IdleResult } from "../bench/load-plan.ts";
import { keepAlive, openSessions } from "../bench/load-session.ts";
import { startLoad } from "../bench/processes.ts";
import { call, createGroup, many, type Person, password, signUpMany } from "../harness/people.ts";
import { testEnvironment } from "../harness/server.ts";
import { freePort, startServerProcess } from "../harness/server-process.ts";
import { ownBytes } from "./process-memory.ts";
import { newTold, takeDown } from "./slow-reader-load.ts";

const SESSIONS = 10_000;
const SESSIONS_PER_DEVICE = 8; // the contract's most, as are 16 devices: few people make set-up short
const DEVICES_PER_PERSON = 16;
const PEOPLE = Math.ceil(SESSIONS / (SESSIONS_PER_DEVICE * DEVICES_PER_PERSON));
const OBSERVED = 20;
const HOLD_MS = 36_000;
const ARRIVAL_MS_MAX = 10_000;
/** The benchmark holds the figure to its target; here only a leak would show. */
const SESSION_BYTES_MAX = 64 * 1024;

it(`${SESSIONS} idle sessions hold`, { timeout: 180_000 }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "parley-idle-"));
  const port = await freePort();
  const environment = {
    ...testEnvironment,
    PARLEY_GATEWAY_PORT: String(port),
    PARLEY_GATEWAY_SIGN_INS_PER_MINUTE: "1000000",
  };
  try {
    await using server = await startServerProcess({ directory, port, environment });
    await using load = startLoad();
    const people = await signUpMany(port, "idle", PEOPLE);
    const conversationId = await createGroup(port, people);
    const tokens = await tokensOf(port, people);
    const told = newTold();
    const arrived = Promise.withResolvers<void>();
    const ended: number[] = [];
    const observed = await openSessions(port, tokens.slice(0, OBSERVED));
    for (const [at, session] of observed.entries()) {
      session.onClose = () => ended.push(at);
      takeDown(session, conversationId, told, () => {
        if (told.seqs.length === OBSERVED) arrived.resolve();
      });
    }
    using _ = keepAlive(observed);

    const before = ownBytes(server.pid);
    const beganMs = performance.now();
    const { result: opened } = await load.run<IdleResult>(
      { kind: "idle", port, tokens: tokens.slice(OBSERVED, SESSIONS) },
      server.pid,
    );
    assert.deepEqual(opened, { open: SESSIONS - OBSERVED, closed: 0 });
    const openedMs = performance.now() - beganMs;
    await sleep(HOLD_MS);

    const perSession = (ownBytes(server.pid) - before) / (SESSIONS - OBSERVED);
    assert.equal(await countOnline(port, people, conversationId), PEOPLE);
    const sentMs = performance.now();
    await sendMessage(port, people[0] as Person, conversationId);
    const late = sleep(ARRIVAL_MS_MAX, "late", { ref: false });
    assert.notEqual(await Promise.race([arrived.promise, late]), "late", "the message arrives");
    const arrivedMs = performance.now() - sentMs;
    const { result: held } = await load.run<IdleResult>({ kind: "release" }, server.pid);
    assert.deepEqual(held, { open: SESSIONS - OBSERVED, closed: 0 });
    assert.deepEqual(ended, []);
    t.diagnostic(
      `${SESSIONS} sessions opened in ${(openedMs / 1000).toFixed(1)} s, held for ${HOLD_MS / 1000} s, ` +
        `${(perSession / 1024).toFixed(1)} KiB each; a message to all of them after ${arrivedMs.toFixed(0)} ms`,
    );
    assert.ok(perSession < SESSION_BYTES_MAX, `${perSession} bytes per session`);
    for (const session of observed) {
      session.onClose = undefined;
      session.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

/** One token per session: the devices' own, as often as a device may open sessions. */
async function tokensOf(port: number, people: readonly Person[]): Promise<string[]> {
  type Answer = { tokens: { accessToken: string } };
  const devices = await many(people.length * (DEVICES_PER_PERSON - 1), async (index) => {
    const person = people[index % people.length] as Person;
    const device = { name: "idle", platform: "DEVICE_PLATFORM_NODE" };
    const request = { username: person.username, password, device };
    const method = "parley.account.v1.AccountService/SignIn";
    return (await call<Answer>(port, method, request)).tokens.accessToken;
  });
  const tokens = [...people.map((person) => person.accessToken), ...devices];
  return Array.from({ length: SESSIONS_PER_DEVICE }, () => tokens).flat();
}

/** How many of a group's members the server takes for online. */
async function countOnline(
  port: number,
  people: readonly Person[],
  conversationId: string,
): Promise<number> {
  type Answer = { presences: { status?: string }[] };
  const userIds = people.map((person) => person.userId);
  const method = "parley.presence.v1.PresenceService/BatchGetPresence";
  const [watcher] = people;
  const request = { userIds, conversationId };
  const { presences } = await call<Answer>(port, method, request, watcher?.accessToken);
  return presences.filter(({ status }) => status === "PRESENCE_STATUS_ONLINE").length;
}

function sendMessage(port: number, sender: Person, conversationId: string): Promise<unknown> {
  const request = {
    conversationId,
    clientMessageId: randomUUID(),
    payload: Buffer.from("is anybody there?").toString("base64"),
  };
  return call(port, "parley.message.v1.MessageService/SendMessage", request, sender.accessToken);
}

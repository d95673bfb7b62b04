/**
 * What an idle session costs the gateway alone, in memory, and what a delivery costs in CPU: the gateway runs here, over
 * in-memory services; the clients run in another process. `node --expose-gc test/bench/gateway-idle.ts [sessions]`
 */
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { newUuid } from "@parley/platform/ids";
import { startTestGateway } from "../../gateway/src/testing/test-gateway.ts";
import { createTokenMint } from "../../gateway/src/testing/tokens.ts";
import type { IdleResult } from "./load-plan.ts";
import { startLoad } from "./processes.ts";
import { residentBytes } from "./statistics.ts";

const SESSIONS_DEFAULT = 5_000;
/** What the first sessions load, and the young heap that their burst grows, is the process's memory and no session's. */
const WARM_UP_SESSIONS = 1_000;
const SETTLE_MS = 12_000;
const GROUP_MEMBERS = 100;
const GROUP_ENTRIES = 5_000;

type Minted = { jwksJson: string; issuer: string; people: { userId: string; token: string }[] };

const minting = process.argv[2] === "mint";
const count = Number(process.argv[minting ? 3 : 2] ?? SESSIONS_DEFAULT);

if (minting) process.stdout.write(JSON.stringify(await mintTokens(count)));
else await measure();

/** Makes tokens in a process of its own, so that what that leaves behind is not in the figures. */
async function mintTokens(howMany: number): Promise<Minted> {
  const mint = await createTokenMint();
  const expireTimeMs = Date.now() + 3_600_000;
  const people: Minted["people"] = [];
  for (let index = 0; index < howMany; index++) {
    const userId = newUuid();
    people.push({ userId, token: await mint.mint({ userId, deviceId: newUuid(), expireTimeMs }) });
  }
  return { jwksJson: mint.jwksJson(), issuer: mint.issuer, people };
}

async function measure(): Promise<void> {
  const options = { encoding: "utf8", maxBuffer: 1024 ** 3 } as const;
  const minted = execFileSync(
    process.execPath,
    [process.argv[1] ?? "", "mint", String(count)],
    options,
  );
  const { jwksJson, issuer, people } = JSON.parse(minted) as Minted;
  const noMint = () => Promise.reject(new Error("all tokens are made"));
  const limits = { connectionsMax: 1_000_000, connectionsPerAddressMax: 1_000_000 };

  await using test = await startTestGateway({
    config: { connections: limits },
    mint: { issuer, jwksJson: () => jwksJson, rotate: noMint, retire: () => {}, mint: noMint },
  });
  await using load = startLoad();
  const tokens = people.map(({ token }) => token);
  const collect = globalThis.gc ?? (() => undefined);

  await load.run(
    { kind: "idle", port: test.port, tokens: tokens.slice(0, WARM_UP_SESSIONS) },
    process.pid,
  );
  await sleep(2_000);
  collect();
  const before = residentBytes(process.pid);
  const heapBefore = process.memoryUsage();
  const { result } = await load.run<IdleResult>(
    { kind: "idle", port: test.port, tokens: tokens.slice(WARM_UP_SESSIONS) },
    process.pid,
  );
  await sleep(SETTLE_MS);
  const resident = residentBytes(process.pid) - before;
  collect();
  const heap = process.memoryUsage();
  const added = count - WARM_UP_SESSIONS;
  const kib = (bytes: number) => `${(bytes / added / 1024).toFixed(1)} KiB`;
  console.log(`sessions        ${result.open} open, ${result.closed} closed by the gateway`);
  console.log(`resident memory ${kib(resident)} per session`);
  console.log(`  heap          ${kib(heap.heapUsed - heapBefore.heapUsed)}`);
  console.log(`  external      ${kib(heap.external - heapBefore.external)}`);

  const members = people.slice(0, GROUP_MEMBERS).map(({ userId }) => userId);
  const conversationId = test.services.chat.createConversation(members);
  const payload = new Uint8Array(120);
  const cpuBefore = process.cpuUsage();
  for (let entry = 0; entry < GROUP_ENTRIES; entry++) {
    test.services.chat.append({ conversationId, senderUserId: members[0] ?? "", payload });
    if (entry % 20 === 19) await test.acknowledged();
  }
  await sleep(500);
  const { user, system } = process.cpuUsage(cpuBefore);
  const deliveries = GROUP_ENTRIES * members.length;
  console.log(
    `delivery        ${((user + system) / deliveries).toFixed(2)} µs of CPU, group of ${GROUP_MEMBERS}`,
  );
  await load.run({ kind: "release" }, process.pid);
}

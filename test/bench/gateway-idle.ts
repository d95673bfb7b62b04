/**
 * What an idle session costs the gateway alone, in memory, and what a delivery costs in CPU: the gateway runs here, over
 * in-memory services; the clients run in another process. `node test/bench/gateway-idle.ts [sessions]`
 */
import { setTimeout as sleep } from "node:timers/promises";
import { startTestGateway } from "../../gateway/src/testing/test-gateway.ts";
import type { IdleResult } from "./load-plan.ts";
import { startLoad } from "./processes.ts";
import { residentBytes } from "./statistics.ts";

const SESSIONS_DEFAULT = 5_000;
/** Code, certificates and pools that the first session loads are not a session's memory. */
const WARM_UP_SESSIONS = 50;
const SETTLE_MS = 12_000;
const GROUP_MEMBERS = 100;
const GROUP_ENTRIES = 5_000;

const count = Number(process.argv[2] ?? SESSIONS_DEFAULT);
const limits = { connectionsMax: 1_000_000, connectionsPerAddressMax: 1_000_000 };

await using test = await startTestGateway({ config: { connections: limits } });
await using load = startLoad();
const people = await Promise.all(Array.from({ length: count }, () => test.person()));
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

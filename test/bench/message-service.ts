/**
 * What one 1:1 message costs the message service: append, log, apply, store, dispatch, answer, with the
 * embedded log and store in this process and a fan-out that only answers.
 *
 *     node test/bench/message-service.ts [--seconds 10] [--conversations 50] [--window 4] [--bytes 200]
 *
 * `window` is how many messages each conversation keeps on its way. CPU is that of the whole process, the
 * senders and the log's and store's threads included.
 */
import { parseArgs } from "node:util";
import { newUuid } from "@parley/platform/ids";
import {
  createdItem,
  messageItem,
  openMessageWorld,
} from "../../services/message/src/testing/message-world.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    conversations: { type: "string", default: "50" },
    window: { type: "string", default: "4" },
    bytes: { type: "string", default: "200" },
  },
});
const seconds = Number(values.seconds);
const window = Number(values.window);
const payload = new Uint8Array(Number(values.bytes)).fill(65);
const WARM_UP_SECONDS = 2;

await using world = await openMessageWorld({ log: { partitionCount: 16 } });
// What arrives is counted and dropped: this is no measurement of an array that grows.
let dispatched = 0;
world.fanout.gate = (batch) => {
  dispatched += batch.entries.length;
  world.fanout.batches.length = 0;
};

const pairs = Array.from({ length: Number(values.conversations) }, () => {
  const [conversationId, first, second] = [newUuid(), newUuid(), newUuid()];
  return { conversationId, first, second };
});
await Promise.all(
  pairs.map(({ conversationId, first, second }) =>
    world.append(createdItem(conversationId, [first, second])),
  ),
);

let latenciesMs: number[] = [];
let sent = 0;
let running = true;
const send = async (pair: (typeof pairs)[number]) => {
  for (let turn = 0; running; turn++) {
    const sender = turn % 2 === 0 ? pair.first : pair.second;
    const startMs = performance.now();
    await world.append(messageItem(pair.conversationId, sender, { payload }));
    latenciesMs.push(performance.now() - startMs);
    sent++;
  }
};
const senders = pairs.flatMap((pair) => Array.from({ length: window }, () => send(pair)));

await new Promise((resolve) => setTimeout(resolve, WARM_UP_SECONDS * 1000));
latenciesMs = [];
const sentBefore = sent;
const dispatchedBefore = dispatched;
const cpu = process.cpuUsage();
const startMs = performance.now();
await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const elapsedMs = performance.now() - startMs;
const used = process.cpuUsage(cpu);
const count = sent - sentBefore;
running = false;
await Promise.all(senders);

const sorted = latenciesMs.toSorted((a, b) => a - b);
const percentile = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(2);
const perMessage = (micros: number) => (micros / Math.max(1, count)).toFixed(1);
console.log(
  [
    `${pairs.length} conversations, ${window} on their way each, ${payload.length} bytes, ${seconds} s`,
    `messages/s         ${Math.round((count / elapsedMs) * 1000)}`,
    `dispatched/s       ${Math.round(((dispatched - dispatchedBefore) / elapsedMs) * 1000)}`,
    `CPU per message    ${perMessage(used.user + used.system)} µs (user ${perMessage(used.user)}, system ${perMessage(used.system)})`,
    `ack p50/p99/p99.9  ${percentile(0.5)} / ${percentile(0.99)} / ${percentile(0.999)} ms`,
    `memory             ${Math.round(process.memoryUsage().rss / 1024 / 1024)} MiB`,
  ].join("\n"),
);

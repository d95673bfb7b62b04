// The same scenarios of conversations, over each of the four roads, on separate processes and real engines. People take
// turns at the gateways, so that those who talk are on different ones.
import { after, before, describe, it } from "node:test";
import type { RoadName } from "@parley/sdk";
import { type Split, startSplit } from "../harness/split.ts";
import { conversationScenarios } from "./conversations.ts";

const roads: readonly RoadName[] = ["websocket", "connect", "long-poll", "short-poll"];

let split: Split;
let people = 0;

before(async () => {
  split = await startSplit();
});
after(() => split[Symbol.asyncDispose]());

for (const transport of roads) {
  describe(`over ${transport}, split`, () => {
    for (const scenario of conversationScenarios) {
      it(scenario.name, async () => {
        people += 1;
        const suffix = `_${people}`;
        await scenario.run({ server: split, transport, name: (of) => `${of}${suffix}` });
      });
    }
  });
}

// Every scenario of conversations, over each of the four roads, against a whole server in this process.
import { after, before, describe, it } from "node:test";
import type { RoadName } from "@parley/sdk";
import { startTestServer, type TestServer } from "../harness/server.ts";
import { conversationScenarios } from "./conversations.ts";

const roads: readonly RoadName[] = ["websocket", "connect", "long-poll", "short-poll"];

let server: TestServer;
let people = 0;

before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

for (const transport of roads) {
  describe(`over ${transport}`, () => {
    for (const scenario of conversationScenarios) {
      it(scenario.name, async () => {
        people += 1;
        const suffix = `_${people}`;
        await scenario.run({ server, transport, name: (of) => `${of}${suffix}` });
      });
    }
  });
}

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { decodeContent } from "./content/content.ts";
import type { RoadName } from "./session/road.ts";
import { connectPerson, nextEvent } from "./testing/people.ts";
import { startTestServer } from "./testing/test-server.ts";

function textOf(entry: Message): string {
  const content = entry.body.case === "payload" ? decodeContent(entry.body.value) : undefined;
  return content?.kind.case === "text" ? content.kind.value.text : "";
}

const roads: readonly RoadName[] = ["websocket", "connect", "long-poll", "short-poll"];

for (const transport of roads) {
  describe(`two people over ${transport}`, () => {
    it("chat, in order, and see receipts, typing and presence", async () => {
      await using server = await startTestServer();
      await using ana = await connectPerson(server, "ana", { transport });
      await using bob = await connectPerson(server, "bob", { transport });
      assert.equal(ana.state.state === "online" && ana.state.road, transport);

      const shown: string[] = [];
      bob.on("message", (entry) => shown.push(textOf(entry)));
      const own: string[] = [];
      ana.on("message", (entry) => own.push(textOf(entry)));
      const chat = await ana.openDirect(bob.userId);
      const last = nextEvent(bob, "message", (entry) => textOf(entry) === "message 20");
      const handles = Array.from({ length: 20 }, (_, index) => chat.send(`message ${index + 1}`));
      const answers = await Promise.all(handles.map((handle) => handle.result));
      assert.deepEqual(
        answers.map((answer) => answer.seq),
        Array.from({ length: 20 }, (_, index) => BigInt(index + 2)),
      );
      assert.ok(handles.every((handle) => handle.state === "sent"));
      await last;
      const expected = ["", ...Array.from({ length: 20 }, (_, index) => `message ${index + 1}`)];
      assert.deepEqual(shown, expected);
      assert.deepEqual(own, expected);

      const read = nextEvent(ana, "receipt", (r) => r.userId === bob.userId && r.readSeq === 21n);
      bob.conversation(chat.id).markRead();
      await read;

      const typing = nextEvent(ana, "typing");
      bob.conversation(chat.id).setTyping(true);
      assert.deepEqual(
        { ...(await typing), $typeName: undefined, noticeTime: undefined },
        {
          conversationId: chat.id,
          userId: bob.userId,
          typing: true,
          $typeName: undefined,
          noticeTime: undefined,
        },
      );

      const present = nextEvent(ana, "presence", (p) => p.userId === bob.userId);
      await ana.watchPresence([bob.userId]);
      await present;
      assert.equal(ana.presenceOf(bob.userId)?.status, 1);
    });

    it("miss nothing while away", async () => {
      await using server = await startTestServer();
      await using ana = await connectPerson(server, "ana", { transport });
      await using bob = await connectPerson(server, "bob", { transport });
      const shown: bigint[] = [];
      bob.on("message", (entry) => shown.push(entry.seq));
      const chat = await ana.openDirect(bob.userId);
      const first = nextEvent(bob, "message", (entry) => entry.seq === 2n);
      await chat.send("one").result;
      await first;
      await bob.disconnect();
      assert.equal(bob.state.state, "offline");
      await chat.send("two").result;
      await chat.send("three").result;
      await bob.connect();
      assert.deepEqual(shown, [1n, 2n, 3n, 4n]);
      assert.equal(bob.conversation(chat.id).position, 4n);
    });
  });
}

// The whole client against a server whose connections break, whose live events get lost, repeated and
// reordered, who changes what the person may read, and who is put back from an older copy: whatever happens,
// everything is shown once, in order, and what the server lost is forgotten.
import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ConversationKind, Role } from "@parley/gen/parley/conversation/v1/conversation_pb";
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { SendMessageRequestSchema } from "@parley/gen/parley/message/v1/message_service_pb";
import fc from "fast-check";
import { createParleyClient } from "../client.ts";
import { decodeContent, encodeContent, textContent } from "../content/content.ts";
import { newUuid } from "../ids.ts";
import type { ParleyClient } from "../parley-client.ts";
import { createMemoryStorage } from "../storage/memory-storage.ts";
import { quickTiming } from "../testing/people.ts";
import type { TestConversation, TestDevice } from "../testing/test-model.ts";
import { createInProcessFetch, createTestWorld, type TestWorld } from "../testing/test-world.ts";

const CATCH_UP_MAX = 4;
const SETTLE_MS_MAX = 8_000;

type World = {
  readonly server: TestWorld;
  readonly bobDevice: TestDevice;
  readonly conversations: readonly TestConversation[];
  readonly anaId: string;
  client: ParleyClient;
  readonly reopen: () => Promise<void>;
  readonly shown: Message[];
  /** Texts that Ana sent, and those that were refused because she was no member. */
  readonly sent: Set<string>;
  readonly refused: string[];
  /** True once the server was put back from an older copy, which loses messages that it had accepted. */
  restored: boolean;
};

type Action = (world: World) => void | Promise<void>;

function append(world: World, index: number, count: number): void {
  const conversation = world.conversations[index];
  if (!conversation) return;
  for (let number = 0; number < count; number++) {
    const request = create(SendMessageRequestSchema, {
      conversationId: conversation.id,
      clientMessageId: newUuid(Date.now(), crypto),
      body: { case: "payload", value: encodeContent(textContent({ text: `${number}` })) },
    });
    world.server.sessions.send(world.bobDevice, request);
  }
}

const which = fc.nat(1);

const actions: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(which, fc.integer({ min: 1, max: 8 })).map(
      ([index, count]): Action =>
        (world) =>
          append(world, index, count),
    ),
  },
  {
    weight: 3,
    arbitrary: which.map(
      (index): Action =>
        (world) => {
          const conversation = world.conversations[index];
          if (!conversation) return;
          const chat = world.client.conversation(conversation.id);
          const text = `from ana ${world.sent.size}`;
          world.sent.add(text);
          chat.send(text);
          chat.react({ seq: 1n, messageId: 1n }, "+1");
        },
    ),
  },
  fc.constant<Action>(({ server }) => server.sessions.cutAll()),
  fc.constant<Action>(({ server }) => {
    server.sessions.sendToAll({ case: "resyncRequired", value: { waitingFrames: 9 } });
    server.sessions.cutAll();
  }),
  fc.constantFrom<Action>(
    ({ server }) => {
      server.sessions.faults.mangle = (events) => [...events].reverse();
    },
    ({ server }) => {
      server.sessions.faults.mangle = (events) => [...events, ...events];
    },
    ({ server }) => {
      server.sessions.faults.mangle = (events) => events.slice(1);
    },
    ({ server }) => {
      server.sessions.faults.mangle = undefined;
    },
  ),
  fc.constant<Action>(({ server }) => {
    server.sessions.faults.hold = true;
  }),
  fc.constant<Action>(({ server }) => {
    server.sessions.faults.hold = false;
    server.sessions.flushHeld();
  }),
  fc.integer({ min: 1, max: 3 }).map(
    (count): Action =>
      ({ server }) => {
        server.sessions.faults.failListMessages = count;
      },
  ),
  fc.constant<Action>(({ server }) => {
    let once = true;
    server.sessions.faults.loseAnswer = () => {
      const lose = once;
      once = false;
      return lose;
    };
  }),
  // Ana is removed from the group, and added again later: what comes between is not hers to read.
  fc.boolean().map(
    (leave): Action =>
      ({ server, conversations, anaId }) => {
        const group = conversations[1];
        if (!group || group.roles.has(anaId) !== leave) return;
        if (leave) server.model.leave(group, anaId);
        else server.model.join(group, anaId, Role.MEMBER);
        const change = { case: "titleChanged", value: { title: "t" } } as const;
        server.sessions.publishEntry(group, server.model.appendChange(group, "bob", { change }));
      },
  ),
  // The server is put back from a copy that lacks the newest entries.
  fc.integer({ min: 1, max: 12 }).map(
    (lost): Action =>
      (world) => {
        const { server, conversations } = world;
        const [direct] = conversations;
        if (!direct) return;
        world.restored = true;
        server.model.restore(direct, Math.max(1, direct.entries.length - lost));
        server.sessions.cutAll();
      },
  ),
  fc.constant<Action>((world) => world.reopen()),
  {
    weight: 3,
    arbitrary: fc.integer({ min: 0, max: 15 }).map(
      (ms): Action =>
        () =>
          new Promise((resolve) => setTimeout(resolve, ms)),
    ),
  },
);

async function createWorld(transport: "connect" | "long-poll"): Promise<World> {
  const server = createTestWorld();
  const fetch = createInProcessFetch(server);
  const bob = server.model.signUp("bob", "correct horse", "");
  const bobDevice = server.model.signIn(bob);
  const kept = createMemoryStorage();
  // Closing the client closes its storage; a restart finds the same one again.
  const storage = { ...kept, close: async () => {} };
  const open = () =>
    createParleyClient({
      url: "http://test.invalid",
      fetch,
      storage,
      transport,
      catchUpMessagesMax: CATCH_UP_MAX,
      timing: { ...quickTiming, reconnectInitialMs: 2, reconnectMaxMs: 10, gapGraceMs: 3 },
    });
  const client = open();
  await client.signUp({ username: "ana", password: "correct horse" });
  const anaId = client.account?.userId ?? "";
  const members = [anaId];
  const create = (kind: ConversationKind) =>
    server.model.createConversation(kind, "", bob.user.userId, members).conversation;
  const shown: Message[] = [];
  const world: World = {
    server,
    bobDevice,
    conversations: [create(ConversationKind.DIRECT), create(ConversationKind.GROUP)],
    anaId,
    client,
    shown,
    sent: new Set(),
    refused: [],
    restored: false,
    async reopen() {
      await world.client.close();
      world.client = open();
      listen(world);
    },
  };
  listen(world);
  return world;
}

function listen({ client, shown, refused }: World): void {
  client.on("message", (entry) => shown.push(entry));
  client.on("conversationReplaced", ({ conversationId, keptSeq }) => {
    const kept = shown.filter((e) => e.conversationId !== conversationId || e.seq <= keptSeq);
    shown.splice(0, shown.length, ...kept);
  });
  client.on("send", ({ state, clientMessageId }) => {
    if (state === "failed") refused.push(clientMessageId);
  });
  client.connect();
}

/** Ends every fault, and waits until the client has everything that is readable. */
async function settle(world: World): Promise<void> {
  const { server, conversations, anaId } = world;
  Object.assign(server.sessions.faults, { mangle: undefined, hold: false, loseAnswer: undefined });
  server.sessions.faults.failListMessages = 0;
  server.sessions.flushHeld();
  await world.client.ready;
  await world.client.outbox.settled();
  server.sessions.cutAll();
  const done = () =>
    conversations.every((conversation) => {
      const readable = server.model.readable(conversation, anaId);
      const ids = new Set(readable.map(({ messageId }) => messageId));
      const stale = ({ conversationId, messageId }: Message) =>
        conversationId === conversation.id && !ids.has(messageId);
      const last = readable.at(-1)?.seq ?? 0n;
      return (
        world.client.conversation(conversation.id).position === last && !world.shown.some(stale)
      );
    });
  const deadline = Date.now() + SETTLE_MS_MAX;
  while (!done()) {
    assert.ok(Date.now() < deadline, "the client catches up");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function textOf(entry: Message): string | undefined {
  const content = entry.body.case === "payload" ? decodeContent(entry.body.value) : undefined;
  return content?.kind.case === "text" ? content.kind.value.text : undefined;
}

function check(world: World): void {
  const { server, conversations, anaId, shown, client, sent, refused, restored } = world;
  for (const conversation of conversations) {
    const own = shown.filter((entry) => entry.conversationId === conversation.id);
    const seqs = own.map((entry) => entry.seq);
    const ascending = seqs.every((seq, index) => index === 0 || seq > (seqs[index - 1] ?? 0n));
    assert.ok(ascending, `in order, each once: ${seqs}`);
    const holes = client.conversation(conversation.id).holes;
    const readable = server.model.readable(conversation, anaId);
    const missing = readable.filter(
      ({ seq }) =>
        !seqs.includes(seq) && !holes.some((hole) => hole.first <= seq && seq <= hole.last),
    );
    assert.deepEqual(
      missing.map(({ seq }) => seq),
      [],
      "nothing is missing but what catch-up left out",
    );
    for (const entry of own) {
      const truth = readable.find(({ seq }) => seq === entry.seq);
      assert.ok(truth, `entry ${entry.seq} is readable`);
      // Own entries are completed from the answer; they come out as everybody else has them.
      assert.deepEqual(entry, truth);
    }
  }
  const texts = conversations
    .flatMap(({ entries }) => entries)
    .filter((entry) => entry.senderUserId === anaId)
    .map(textOf)
    .filter((text) => text !== undefined);
  assert.deepEqual(texts, [...new Set(texts)], "nothing was sent twice");
  const lost = sent.size - texts.length;
  assert.ok(restored || lost === 0 || lost <= refused.length, `${lost} messages are gone`);
}

for (const transport of ["connect", "long-poll"] as const) {
  it(`shows every entry exactly once and in order (${transport})`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(actions, { minLength: 3, maxLength: 25 }), async (steps) => {
        const world = await createWorld(transport);
        try {
          for (const step of steps) await step(world);
          await settle(world);
          check(world);
        } finally {
          await world.client.close();
        }
      }),
      { numRuns: 120 },
    );
  });
}

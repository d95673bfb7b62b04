/** What people do with conversations, written once and run on every road and topology. */
import assert from "node:assert/strict";
import { PresenceStatus } from "@parley/gen/parley/presence/v1/presence_pb";
import { Code, ParleyError } from "@parley/sdk";
import {
  eventually,
  nextEvent,
  nextText,
  openPerson,
  record,
  textOf,
  textsOf,
} from "../harness/clients.ts";
import type { Scenario } from "./scenario.ts";

const refusal = (reason: string, code?: Code) => (error: unknown) =>
  error instanceof ParleyError &&
  error.reason === reason &&
  (code === undefined || error.code === code);

export const conversationScenarios: readonly Scenario[] = [
  {
    name: "two people chat, and both see the same order",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using ben = await openPerson(server, name("ben"), { transport });
      const chat = await ana.openDirect(ben.account?.userId ?? "");
      const [seenByAna, seenByBen] = [record(ana, chat.id), record(ben, chat.id)];
      const sends = ["one", "two", "three"].map((text) => chat.send(text));
      const answers = await Promise.all(sends.map((send) => send.result));
      assert.deepEqual(
        answers.map((answer) => answer.seq),
        [2n, 3n, 4n],
      );
      const reply = nextText(ana, "four");
      await ben.conversation(chat.id).send("four").result;
      await reply;
      await eventually(
        "both have all of it",
        () => textsOf(seenByAna).length >= 4 && textsOf(seenByBen).length >= 4,
      );
      assert.deepEqual(textsOf(seenByAna), ["one", "two", "three", "four"]);
      assert.deepEqual(textsOf(seenByBen), ["one", "two", "three", "four"]);
      assert.deepEqual(
        seenByAna.map((entry) => entry.messageId),
        seenByBen.map((entry) => entry.messageId),
      );
    },
  },
  {
    name: "a message sent while the other was away arrives once, in order",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using ben = await openPerson(server, name("ben"), { transport });
      const chat = await ana.openDirect(ben.account?.userId ?? "");
      const seen = record(ben, chat.id);
      const here = nextText(ben, "here");
      await chat.send("here").result;
      await here;
      await ben.disconnect();
      for (let at = 0; at < 30; at += 1) await chat.send(`away ${at}`).result;
      await ben.connect();
      await eventually("everything has arrived", () => textsOf(seen).length >= 31);
      const words = textsOf(seen);
      assert.deepEqual(words, ["here", ...Array.from({ length: 30 }, (_, at) => `away ${at}`)]);
    },
  },
  {
    name: "what is sent while offline waits, and goes out in order",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using ben = await openPerson(server, name("ben"), { transport });
      const chat = await ana.openDirect(ben.account?.userId ?? "");
      const seen = record(ben, chat.id);
      await ana.disconnect();
      const handles = ["a", "b", "c", "d"].map((text) => chat.send(text));
      await ana.connect();
      await Promise.all(handles.map((handle) => handle.result));
      await eventually("all four have arrived", () => textsOf(seen).length >= 4);
      assert.deepEqual(textsOf(seen), ["a", "b", "c", "d"]);
    },
  },
  {
    name: "a group of three: everybody hears everybody; who is removed hears and says nothing more",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using ben = await openPerson(server, name("ben"), { transport });
      await using cem = await openPerson(server, name("cem"), { transport });
      const [benId, cemId] = [ben.account?.userId ?? "", cem.account?.userId ?? ""];
      const group = await ana.createGroup("Three", [benId, cemId]);
      const both = Promise.all([nextText(ben, "hello"), nextText(cem, "hello")]);
      await group.send("hello").result;
      await both;
      const answered = Promise.all([nextText(ana, "hi"), nextText(cem, "hi")]);
      await ben.conversation(group.id).send("hi").result;
      await answered;
      const told = nextEvent(
        cem,
        "conversationChanged",
        ({ change }) => change.change.case === "memberRemoved",
      );
      await ana.conversations.removeMember({ conversationId: group.id, userId: cemId });
      await told;
      const seenByCem = record(cem, group.id);
      const afterwards = nextText(ben, "without cem");
      await group.send("without cem").result;
      await afterwards;
      await assert.rejects(
        cem.conversation(group.id).send("still here?").result,
        refusal("NOT_A_MEMBER"),
      );
      assert.deepEqual(seenByCem, []);
      const page = await cem.conversation(group.id).history();
      assert.ok(page.entries.every((entry) => textOf(entry) !== "without cem"));
      assert.ok(page.entries.some((entry) => textOf(entry) === "hello"));
    },
  },
  {
    name: "who joins later reads nothing from before",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using ben = await openPerson(server, name("ben"), { transport });
      const group = await ana.createGroup("Later", []);
      await group.send("before").result;
      const invite = await ana.conversations.createInviteLink({ conversationId: group.id });
      await ben.conversations.joinByInvite({ inviteCode: invite.inviteLink?.inviteCode ?? "" });
      const after = nextText(ben, "after");
      await group.send("after").result;
      await after;
      const page = await ben.conversation(group.id).history();
      assert.deepEqual(textsOf(page.entries), ["after"]);
      assert.equal(page.more, false);
    },
  },
  {
    name: "receipts and unread counts follow what was delivered and read",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using ben = await openPerson(server, name("ben"), { transport });
      const chat = await ana.openDirect(ben.account?.userId ?? "");
      const delivered = nextEvent(ana, "receipt", (receipt) => receipt.deliveredSeq >= 3n);
      await chat.send("one").result;
      await chat.send("two").result;
      await delivered;
      const unread = async () => {
        for await (const entry of ben.listInbox())
          if (entry.conversationId === chat.id) return entry.unreadCount;
        return undefined;
      };
      assert.equal(await unread(), 2n);
      const read = nextEvent(ana, "receipt", (receipt) => receipt.readSeq >= 3n);
      ben.conversation(chat.id).markRead();
      assert.equal((await read).userId, ben.account?.userId);
      await eventually("nothing is unread", async () => (await unread()) === 0n);
    },
  },
  {
    name: "replies, reactions, edits and deletions",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using ben = await openPerson(server, name("ben"), { transport });
      const chat = await ana.openDirect(ben.account?.userId ?? "");
      const [first, second] = [await chat.send("first").result, await chat.send("second").result];
      const other = ben.conversation(chat.id);
      await other.send({ text: "an answer", replyTo: first }).result;
      await other.react(first, "👍").result;
      await chat.edit(first, "first, mended").result;
      await other.edit(second, "not mine to edit").result;
      await chat.delete(second).result;
      const viewer = await other.open();
      await eventually("ben sees all of it", () =>
        viewer.view.messages.some((line) => line.kind === "deleted"),
      );
      const lines = viewer.view.messages.filter((line) => line.kind !== "change");
      assert.deepEqual(
        lines.map((line) => [line.kind, line.text]),
        [
          ["text", "first, mended"],
          ["deleted", ""],
          ["text", "an answer"],
        ],
      );
      assert.equal(lines[0]?.reactions[0]?.emoji, "👍");
      assert.equal(lines[2]?.replyTo?.seq, first.seq);
      viewer.close();
    },
  },
  {
    name: "typing is told and stored nowhere",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using ben = await openPerson(server, name("ben"), { transport });
      // Who types before the conversation has reached the others types for nobody: it is told and not kept.
      const known = nextEvent(ben, "message");
      const chat = await ana.openDirect(ben.account?.userId ?? "");
      await known;
      const typing = nextEvent(ben, "typing", (event) => event.typing);
      chat.setTyping(true);
      assert.equal((await typing).userId, ana.account?.userId);
      const page = await ben.conversation(chat.id).history();
      assert.ok(page.entries.every((entry) => entry.body.case === "change"));
    },
  },
  {
    name: "mutual contacts see each other come and go",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using ben = await openPerson(server, name("ben"), { transport });
      const [anaId, benId] = [ana.account?.userId ?? "", ben.account?.userId ?? ""];
      await ana.contacts.addContact({ userId: benId });
      await ben.contacts.addContact({ userId: anaId });
      const online = nextEvent(
        ana,
        "presence",
        (presence) => presence.status === PresenceStatus.ONLINE,
      );
      await ana.watchPresence([benId]);
      assert.equal((await online).userId, benId);
      // A polled session ends by silence, which is noticed after 30 seconds; the others at once.
      const offline = nextEvent(
        ana,
        "presence",
        (presence) => presence.status === PresenceStatus.OFFLINE,
        40_000,
      );
      await ben.disconnect();
      assert.ok((await offline).lastSeenTime);
    },
  },
  {
    name: "two devices of one person see the same, own messages included",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using phone = await openPerson(server, name("ana"), { transport, existing: true });
      await using ben = await openPerson(server, name("ben"), { transport });
      const chat = await ana.openDirect(ben.account?.userId ?? "");
      const own = nextText(phone, "from the laptop");
      await chat.send("from the laptop").result;
      await own;
      const answers = Promise.all([nextText(ana, "answer"), nextText(phone, "answer")]);
      await ben.conversation(chat.id).send("answer").result;
      await answers;
    },
  },
  {
    name: "who is blocked cannot write, and can again afterwards",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using ben = await openPerson(server, name("ben"), { transport });
      const chat = await ana.openDirect(ben.account?.userId ?? "");
      await chat.send("before").result;
      await ben.contacts.blockUser({ userId: ana.account?.userId ?? "" });
      await assert.rejects(
        chat.send("while blocked").result,
        refusal("CANNOT_SEND", Code.PermissionDenied),
      );
      await ben.contacts.unblockUser({ userId: ana.account?.userId ?? "" });
      await chat.send("after").result;
    },
  },
  {
    name: "a device that is signed out elsewhere is told, and does not come back",
    async run({ server, transport, name }) {
      await using ana = await openPerson(server, name("ana"), { transport });
      await using phone = await openPerson(server, name("ana"), { transport, existing: true });
      const ended = nextEvent(phone, "signedOut");
      await ana.accounts.revokeDevice({ deviceId: phone.account?.deviceId ?? "" });
      await ended;
      await assert.rejects(phone.accounts.getAccount({}), refusal("SIGNED_OUT"));
    },
  },
];

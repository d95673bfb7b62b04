/** People who chat without pause while a test breaks things, and the books of what became of it. */
import type { ParleyClient } from "@parley/sdk";
import { eventually, openPerson } from "../harness/clients.ts";
import { createLedger, type Ledger, online, readAll } from "./crash-ledger.ts";

const PAIRS_DEFAULT = 6;
const GROUP_MEMBERS = 5;
/** Messages that each sender has on their way. */
export const WINDOW = 8;

export type CrashLoad = AsyncDisposable & {
  readonly people: readonly ParleyClient[];
  readonly ledger: Ledger;
  /** Resolves when everybody is online, now or soon. */
  online(): Promise<void>;
  /**
   * Ends the writing, waits until everything is acknowledged and told, and compares the books with the history of
   * each conversation (invariants 1 to 4). Rejects with the first difference.
   */
  verify(): Promise<void>;
};

/** Pairs who both write, and a group in which everybody writes; everybody's copy is kept in the books. */
export async function startCrashLoad(
  server: { readonly url: string },
  { pairs = PAIRS_DEFAULT }: { readonly pairs?: number } = {},
): Promise<CrashLoad> {
  const people: ParleyClient[] = [];
  const ledger = createLedger();
  const conversations: { conversationId: string; members: readonly ParleyClient[] }[] = [];
  const join = async (name: string) => {
    const person = await openPerson(server, name);
    people.push(person);
    return person;
  };
  const chat = (members: readonly ParleyClient[], conversationId: string) => {
    for (const member of members) {
      ledger.read(member, conversationId);
      ledger.write(member, conversationId, member.account?.username ?? "", WINDOW);
    }
    conversations.push({ conversationId, members });
  };
  for (let pair = 0; pair < pairs; pair += 1) {
    const [left, right] = [await join(`left${pair}`), await join(`right${pair}`)];
    const { id } = await left.openDirect(right.account?.userId ?? "");
    chat([left, right], id);
  }
  const members: ParleyClient[] = [];
  for (let member = 0; member < GROUP_MEMBERS; member += 1) {
    members.push(await join(`member${member}`));
  }
  const [owner, ...others] = members as [ParleyClient, ...ParleyClient[]];
  const group = await owner.createGroup(
    "Crash",
    others.map((other) => other.account?.userId ?? ""),
  );
  chat(members, group.id);
  return {
    people,
    ledger,
    online: async () => void (await Promise.all(people.map(online))),
    async verify() {
      ledger.stop();
      await Promise.all(people.map((person) => person.outbox.settled()));
      for (const { conversationId, members } of conversations) {
        const history = await readAll(members[0] as ParleyClient, conversationId);
        const end = BigInt(history.length);
        await eventually("everybody is told everything", () =>
          members.every((member) => member.conversation(conversationId).position >= end),
        );
        ledger.verify(conversationId, history);
      }
    },
    async [Symbol.asyncDispose]() {
      ledger.stop();
      await Promise.all(people.map((person) => person.close()));
    },
  };
}

/** Reading a conversation backwards: from the storage as far as it reaches, then from the server. */
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { ReadDirection } from "@parley/gen/parley/message/v1/message_service_pb";
import type { Engine } from "./engine.ts";
import type { ServiceClients } from "./rpc/service-clients.ts";
import type { ClientStorage } from "./storage/client-storage.ts";
import { readStored } from "./sync/stored-entries.ts";

const COUNT_DEFAULT = 50;
/** What the contract returns in one page. */
const COUNT_MAX = 200;

export type HistoryOptions = {
  /** Only entries below this `seq`; the newest ones that this device has if left out. */
  readonly before?: bigint | undefined;
  /** How many entries at most: 50 if left out, 200 at most. */
  readonly count?: number | undefined;
};

export type HistoryPage = {
  /** Oldest first, without gaps among what the person may read. */
  readonly entries: readonly Message[];
  /** False if nothing older is readable. */
  readonly more: boolean;
};

/** @throws ParleyError when the server is needed and cannot be asked. */
export async function readHistory(
  conversationId: string,
  options: HistoryOptions,
  dependencies: {
    readonly engine: Engine;
    readonly services: Pick<ServiceClients, "messages">;
    readonly storage: Pick<ClientStorage, "readEntries">;
  },
): Promise<HistoryPage> {
  const { engine, storage, services } = dependencies;
  const count = Math.min(options.count ?? COUNT_DEFAULT, COUNT_MAX);
  const position = engine.synchronizer.position(conversationId);
  // Entries above the position are still being put in order, and come as events.
  const end = options.before ?? (position > 0n ? position + 1n : 0n);
  const { store } = engine;
  const stored =
    end === 0n
      ? []
      : await readStored(conversationId, { beforeSeq: end, count }, { store, storage });
  const local = consecutiveEnd(stored, end);
  const lowest = local[0]?.seq ?? end;
  if (local.length === count) return { entries: local, more: lowest > 1n };
  if (lowest === 1n) return { entries: local, more: false };
  const page = await services.messages.listMessages({
    conversationId,
    fromSeq: lowest,
    direction: ReadDirection.OLDER,
    pageSize: count - local.length,
  });
  const read = [...page.messages].reverse();
  const first = page.more ? read[0]?.seq : 1n;
  const last = lowest > 0n ? lowest - 1n : (read.at(-1)?.seq ?? 0n);
  if (first !== undefined) engine.synchronizer.noteRead(conversationId, { first, last }, read);
  return { entries: [...read, ...local], more: page.more };
}

/** The entries at the end that reach up to `end` without a gap. */
function consecutiveEnd(entries: readonly Message[], end: bigint): readonly Message[] {
  let start = entries.length;
  let expected = end - 1n;
  while (start > 0 && entries[start - 1]?.seq === expected) {
    start--;
    expected--;
  }
  return entries.slice(start);
}

/** Entries as the storage keeps them. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Message, MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import type { ClientStorage, StoredEntry } from "../storage/client-storage.ts";
import type { TimelineStore } from "./timeline-store.ts";

export function toStored(message: Message): StoredEntry {
  const { conversationId, seq } = message;
  return { conversationId, seq, bytes: toBinary(MessageSchema, message) };
}

/** The newest `count` entries that are stored of a conversation below `beforeSeq`, oldest first. */
export async function readStored(
  conversationId: string,
  options: { readonly beforeSeq?: bigint; readonly count: number },
  dependencies: {
    readonly store: Pick<TimelineStore, "flush">;
    readonly storage: Pick<ClientStorage, "readEntries">;
  },
): Promise<readonly Message[]> {
  await dependencies.store.flush();
  const entries = await dependencies.storage.readEntries(conversationId, options);
  return entries.map(({ bytes }) => fromBinary(MessageSchema, bytes));
}

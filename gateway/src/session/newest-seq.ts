/** How far a conversation goes for one person, by the timeline itself. */
import { type Client, Code, ConnectError, type ContextValues } from "@connectrpc/connect";
import {
  type MessageService,
  ReadDirection,
} from "@parley/gen/parley/message/v1/message_service_pb";
import type { DeviceCaller } from "@parley/platform/rpc/caller";

/** The newest `seq` that the caller may read; 0 if there is no such conversation. Rejects with other refusals. */
export function createNewestSeq(options: {
  readonly messages: Pick<Client<typeof MessageService>, "listMessages">;
  readonly valuesOf: (caller: DeviceCaller) => ContextValues;
}) {
  const { messages, valuesOf } = options;
  return async (conversationId: string, caller: DeviceCaller): Promise<number> => {
    const request = { conversationId, direction: ReadDirection.OLDER, pageSize: 1 };
    try {
      const answer = await messages.listMessages(request, { contextValues: valuesOf(caller) });
      return Number(answer.lastSeq);
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.NotFound) return 0;
      throw error;
    }
  };
}

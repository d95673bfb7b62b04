/** A typed client of every public service. */
import type { Client, Transport } from "@connectrpc/connect";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { ContactService } from "@parley/gen/parley/contact/v1/contact_service_pb";
import { ConversationService } from "@parley/gen/parley/conversation/v1/conversation_service_pb";
import { InboxService } from "@parley/gen/parley/message/v1/inbox_service_pb";
import { MessageService } from "@parley/gen/parley/message/v1/message_service_pb";
import { OpsService } from "@parley/gen/parley/ops/v1/ops_service_pb";
import { PresenceService } from "@parley/gen/parley/presence/v1/presence_service_pb";
import { RealtimeService } from "@parley/gen/parley/realtime/v1/realtime_service_pb";
import { createServiceClient } from "./service-client.ts";

/** Every call rejects with `ParleyError`. */
export type ServiceClients = {
  readonly accounts: Client<typeof AccountService>;
  readonly contacts: Client<typeof ContactService>;
  readonly conversations: Client<typeof ConversationService>;
  readonly messages: Client<typeof MessageService>;
  readonly inbox: Client<typeof InboxService>;
  readonly presences: Client<typeof PresenceService>;
  readonly realtime: Client<typeof RealtimeService>;
  readonly ops: Client<typeof OpsService>;
};

export function createServiceClients(transport: Transport): ServiceClients {
  return {
    accounts: createServiceClient(AccountService, transport),
    contacts: createServiceClient(ContactService, transport),
    conversations: createServiceClient(ConversationService, transport),
    messages: createServiceClient(MessageService, transport),
    inbox: createServiceClient(InboxService, transport),
    presences: createServiceClient(PresenceService, transport),
    realtime: createServiceClient(RealtimeService, transport),
    ops: createServiceClient(OpsService, transport),
  };
}

/** Contacts and blocks as the contract's messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { BlockSchema, ContactSchema } from "@parley/gen/parley/contact/v1/contact_pb";
import type { BlockEntry, ContactEntry } from "../contact-ports.ts";
import { toUserMessage } from "./account-answer.ts";

export function toContactMessage(contact: ContactEntry): MessageInitShape<typeof ContactSchema> {
  const { account, mutual, createTimeMs } = contact;
  return { user: toUserMessage(account), mutual, createTime: timestampFromMs(createTimeMs) };
}

export function toBlockMessage(block: BlockEntry): MessageInitShape<typeof BlockSchema> {
  const { account, createTimeMs } = block;
  return { user: toUserMessage(account), createTime: timestampFromMs(createTimeMs) };
}

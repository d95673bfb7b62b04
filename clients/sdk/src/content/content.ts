/** What people write, to and from the bytes of a payload. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  type Content,
  ContentSchema,
  type TextSchema,
} from "@parley/gen/parley/message/v1/content_pb";
import { ParleyError } from "../errors.ts";

/** Clients agree on this bound of a text, in characters; the server bounds the bytes of a payload. */
export const TEXT_CHARACTERS_MAX = 16_000;

/** Points at an entry of the same conversation. A `Message` and a `ViewMessage` are such references too. */
export type EntryReference = { readonly seq: bigint; readonly messageId: bigint };

/** A text to send. */
export type TextInput = {
  readonly text: string;
  /** The message that this one answers. */
  readonly replyTo?: EntryReference | undefined;
  /** User ids of the people whom the words mention. */
  readonly mentions?: readonly string[] | undefined;
};

function reference({ seq, messageId }: EntryReference) {
  return { seq, messageId };
}

function textInit(input: TextInput): MessageInitShape<typeof TextSchema> {
  if ([...input.text].length > TEXT_CHARACTERS_MAX) {
    throw new ParleyError({
      code: Code.InvalidArgument,
      reason: "TEXT_TOO_LONG",
      message: `A text has at most ${TEXT_CHARACTERS_MAX} characters.`,
      field: "text",
    });
  }
  return {
    text: input.text,
    mentionedUserIds: [...(input.mentions ?? [])],
    ...(input.replyTo ? { replyTo: reference(input.replyTo) } : {}),
  };
}

/** @throws ParleyError `TEXT_TOO_LONG` above 16,000 characters. */
export function textContent(input: TextInput): Content {
  return create(ContentSchema, { kind: { case: "text", value: textInit(input) } });
}

/** An empty emoji takes the reaction back. */
export function reactionContent(target: EntryReference, emoji: string): Content {
  return create(ContentSchema, {
    kind: { case: "reaction", value: { target: reference(target), emoji } },
  });
}

/** @throws ParleyError `TEXT_TOO_LONG` above 16,000 characters. */
export function editContent(target: EntryReference, input: TextInput): Content {
  return create(ContentSchema, {
    kind: { case: "edit", value: { target: reference(target), text: textInit(input) } },
  });
}

export function deletionContent(target: EntryReference): Content {
  return create(ContentSchema, {
    kind: { case: "deletion", value: { target: reference(target) } },
  });
}

/** The payload of a server-readable conversation. */
export function encodeContent(content: Content): Uint8Array {
  return toBinary(ContentSchema, content);
}

/** Undefined for bytes that are no `Content`: another member's client may send anything. */
export function decodeContent(payload: Uint8Array): Content | undefined {
  try {
    return fromBinary(ContentSchema, payload);
  } catch {
    return undefined;
  }
}

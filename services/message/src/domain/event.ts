/** The event of an entry: encoded once, here; stored, sent and hashed as these bytes. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { MessageSchema } from "@parley/gen/parley/message/v1/message_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";

/**
 * Encodes `Event{message}`. The same message gives the same bytes, everywhere and always: fields are
 * written in the order of their numbers and nothing in it is a map.
 */
export function encodeMessageEvent(message: MessageInitShape<typeof MessageSchema>): Uint8Array {
  const value = create(MessageSchema, message);
  return toBinary(EventSchema, create(EventSchema, { event: { case: "message", value } }));
}

/** A time in ms since the Unix epoch as a `Timestamp`; also before 1970. */
export function timestampOf(timeMs: number) {
  const seconds = Math.floor(timeMs / 1000);
  const nanos = (timeMs - seconds * 1000) * 1_000_000;
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos });
}

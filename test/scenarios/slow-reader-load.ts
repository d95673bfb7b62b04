/** A group that is written to as fast as it goes, a member who reads everything, and one who can stop reading. */
import { fromBinary } from "@bufbuild/protobuf";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import {
  type Goodbye,
  type ResyncRequired,
  ServerFrameSchema,
  type SkippedRange,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import { sendTemplate } from "../bench/frames.ts";
import { nowMs, openSession, reader } from "../bench/load-session.ts";
import type { RawWebSocket } from "../bench/raw-websocket.ts";
import { summarize } from "../bench/statistics.ts";

export const PAYLOAD_BYTES = 32 * 1024;
const WINDOW = 8; // messages that each writer has on their way

export type Written = {
  readonly perSecond: number;
  /** Milliseconds from sending to the acknowledgement. */
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
};

export type Writers = Disposable & {
  /** Sends so many messages, in a closed loop, and resolves when the last one is acknowledged. */
  write(count: number): Promise<Written>;
};

/** Opens one session per token; each reads what the others write. */
export async function openWriters(
  port: number,
  tokens: readonly string[],
  conversationId: string,
): Promise<Writers> {
  const sessions = await Promise.all(tokens.map((token) => openSession(port, token)));
  const makers = sessions.map(() => sendTemplate(conversationId, PAYLOAD_BYTES));
  let requestId = 0;
  return {
    async write(count) {
      const done = Promise.withResolvers<void>();
      const sentAt = new Map<number, number>();
      const ackMs: number[] = [];
      let left = count;
      const send = (index: number) => {
        if (left === 0) return;
        left -= 1;
        requestId += 1;
        sentAt.set(requestId, nowMs());
        const frame = makers[index]?.(requestId, nowMs());
        if (frame) sessions[index]?.send(frame);
      };
      sessions.forEach((session, index) => {
        session.onClose = () => done.reject(new Error("a writer's session ended"));
        session.onFrame = (buffer, start, end) => {
          reader.read(buffer, start, end);
          if (reader.kind === "refused") done.reject(new Error("a message was refused"));
          if (reader.kind !== "sent") return;
          ackMs.push(nowMs() - (sentAt.get(reader.requestId) ?? 0));
          sentAt.delete(reader.requestId);
          if (ackMs.length === count) done.resolve();
          send(index);
        };
      });
      const beganMs = nowMs();
      for (let at = 0; at < WINDOW; at += 1) makers.forEach((_, index) => void send(index));
      await done.promise;
      const { p50, p99 } = summarize(ackMs);
      const perSecond = count / ((nowMs() - beganMs) / 1000);
      return { perSecond, ackP50Ms: p50, ackP99Ms: p99 };
    },
    [Symbol.dispose]() {
      for (const session of sessions) {
        session.onClose = undefined;
        session.close();
      }
    },
  };
}

/** Everything that one session was told. */
export type Told = {
  /** Places of the conversation, in the order in which they were told. */
  readonly seqs: number[];
  skipped: readonly SkippedRange[];
  resync: ResyncRequired | undefined;
  goodbye: Goodbye | undefined;
};

export function newTold(): Told {
  return { seqs: [], skipped: [], resync: undefined, goodbye: undefined };
}

/** Writes down what a session is told of a conversation, from now on; `onChange` is called after each frame. */
export function takeDown(
  session: RawWebSocket,
  conversationId: string,
  told: Told,
  onChange: () => void,
): void {
  session.onFrame = (buffer, start, end) => {
    const { frame } = fromBinary(ServerFrameSchema, buffer.subarray(start, end));
    if (frame.case === "event") {
      const { event } = fromBinary(EventSchema, frame.value);
      if (event.case === "message" && event.value.conversationId === conversationId)
        told.seqs.push(Number(event.value.seq));
    } else if (frame.case === "caughtUp") told.skipped = frame.value.skipped;
    else if (frame.case === "resyncRequired") told.resync = frame.value;
    else if (frame.case === "goodbye") told.goodbye = frame.value;
    onChange();
  };
}

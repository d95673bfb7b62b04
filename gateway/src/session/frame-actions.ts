/** What the frames of an open session ask for. Each rejects or throws with its refusal. */
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Client, ContextValues } from "@connectrpc/connect";
import type { FanoutService } from "@parley/gen/parley/internal/fanout/v1/fanout_service_pb";
import type {
  MessageService,
  SendMessageRequest,
  SendMessageResponse,
  UpdateReceiptRequest,
} from "@parley/gen/parley/message/v1/message_service_pb";
import { EventSchema } from "@parley/gen/parley/realtime/v1/event_pb";
import type { Authenticate, NotifyTyping } from "@parley/gen/parley/realtime/v1/frame_pb";
import type { Clock } from "@parley/platform/clock";
import { permissionDenied } from "@parley/platform/errors";
import type { RateLimiter } from "@parley/platform/rate-limit";
import type { DeviceCaller } from "@parley/platform/rpc/caller";
import type { Logger } from "@parley/platform/telemetry/logger";
import type { EdgeContent } from "../inbound/edge-content.ts";
import type { RateLimits } from "../inbound/rate-limits.ts";
import type { Sends } from "./sends.ts";
import type { Session } from "./session.ts";

export type FrameActionDependencies = {
  readonly sends: Sends;
  readonly limits: Pick<RateLimits, "takeSend" | "takeCall" | "takeTyping">;
  /** One notice per person and conversation within some seconds. */
  readonly typingLimit: RateLimiter;
  readonly content: Pick<EdgeContent, "payloadOf">;
  readonly messages: Pick<Client<typeof MessageService>, "updateReceipt">;
  readonly fanout: Pick<Client<typeof FanoutService>, "dispatchEphemeral">;
  readonly verify: (accessToken: string) => Promise<DeviceCaller>;
  readonly valuesOf: (caller: DeviceCaller) => ContextValues;
  readonly clock: Clock;
  readonly log: Logger;
};

export type FrameActions = {
  send(session: Session, request: SendMessageRequest): Promise<SendMessageResponse>;
  updateReceipt(session: Session, request: UpdateReceiptRequest): Promise<void>;
  notifyTyping(session: Session, notice: NotifyTyping): void;
  /** Counts a frame that costs as much as a call. Throws the refusal of who calls too often. */
  charge(session: Session): void;
  authenticate(session: Session, request: Authenticate): Promise<void>;
};

export function createFrameActions(dependencies: FrameActionDependencies): FrameActions {
  const { sends, limits, typingLimit, content, messages, fanout, clock, log } = dependencies;
  const { valuesOf, verify } = dependencies;
  return {
    send(session, request) {
      limits.takeSend(session);
      const payload = content.payloadOf(request, session.caller);
      if (session.behind === undefined && !(payload instanceof Promise)) {
        return sends.send(session, request, payload);
      }
      // The mode of this conversation, or of one before it, is still being asked for: sends keep their order.
      const ready = Promise.all([payload, session.behind]);
      const tail = ready.then(
        () => undefined,
        () => undefined,
      );
      session.behind = tail;
      void tail.then(() => {
        if (session.behind === tail) session.behind = undefined;
      });
      return ready.then(([bytes]) => sends.send(session, request, bytes));
    },
    async updateReceipt(session, request) {
      limits.takeCall(session, "");
      await messages.updateReceipt(request, { contextValues: valuesOf(session.caller) });
    },
    notifyTyping(session, { conversationId, typing }) {
      // First of the person alone: one who names ever new conversations would pass the limit of each.
      if (!limits.takeTyping(session)) return;
      if (!typingLimit.take(`${session.userId}/${conversationId}`).ok) return;
      const noticeTime = timestampFromMs(clock.nowMs());
      const event = create(EventSchema, {
        event: {
          case: "typing",
          value: { conversationId, userId: session.userId, typing, noticeTime },
        },
      });
      const request = {
        conversationId,
        authorUserId: session.userId,
        event: toBinary(EventSchema, event),
      };
      // Not answered, and not repeated: the next notice says the same.
      fanout.dispatchEphemeral(request).catch((error: unknown) => {
        log.debug({ error }, "A typing notice was not passed on.");
      });
    },
    charge: (session) => limits.takeCall(session, ""),
    async authenticate(session, { accessToken }) {
      limits.takeCall(session, "");
      const caller = await verify(accessToken);
      if (caller.userId !== session.userId || caller.deviceId !== session.deviceId) {
        const text = "A session keeps its device: the token is another device's.";
        throw permissionDenied("TOKEN_OF_ANOTHER_DEVICE", text);
      }
      session.expireTimeMs = caller.expireTimeMs;
    },
  };
}

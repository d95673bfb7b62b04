/** Why sessions end, what the client does next, and the WebSocket close code that says both. */
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Goodbye,
  GoodbyeReason,
  GoodbyeSchema,
  ReconnectAdvice,
  type ServerFrame,
  ServerFrameSchema,
} from "@parley/gen/parley/realtime/v1/frame_pb";

/** Close codes are the start of the advice's range plus the reason's number. */
const CODE_RECONNECT = 4000;
const CODE_STOP = 4500;
const CODE_REAUTHENTICATE = 4900;

type Ending = { readonly advice: ReconnectAdvice; readonly detail: string };

const { RECONNECT, STOP, REAUTHENTICATE } = ReconnectAdvice;

const UNSPECIFIED: Ending = { advice: RECONNECT, detail: "" };

const ENDINGS: Readonly<Record<number, Ending>> = {
  [GoodbyeReason.SERVER_DRAINING]: { advice: RECONNECT, detail: "The server is going away." },
  [GoodbyeReason.SLOW_CONSUMER]: {
    advice: RECONNECT,
    detail: "Events came faster than the client read them.",
  },
  [GoodbyeReason.IDLE]: { advice: RECONNECT, detail: "Nothing was heard for 60 seconds." },
  [GoodbyeReason.SESSION_LIMIT]: {
    advice: STOP,
    detail: "The device opened more than 8 sessions; this was the oldest.",
  },
  [GoodbyeReason.TOKEN_EXPIRED]: {
    advice: REAUTHENTICATE,
    detail: "The access token expired and was not replaced.",
  },
  [GoodbyeReason.DEVICE_REVOKED]: {
    advice: REAUTHENTICATE,
    detail: "The device was signed out or revoked.",
  },
  [GoodbyeReason.UNAUTHENTICATED]: {
    advice: REAUTHENTICATE,
    detail: "The first frame carried no valid access token.",
  },
  [GoodbyeReason.PROTOCOL_ERROR]: { advice: STOP, detail: "The client broke the protocol." },
  [GoodbyeReason.RATE_LIMITED]: {
    advice: RECONNECT,
    detail: "The client sends far above its limits.",
  },
  [GoodbyeReason.INTERNAL]: { advice: RECONNECT, detail: "Something failed on the server." },
};

/** After a flood or a failure the client waits this long, so that it does not come back into the same. */
const DELAY_MS: Partial<Record<GoodbyeReason, number>> = {
  [GoodbyeReason.RATE_LIMITED]: 10_000,
  [GoodbyeReason.INTERNAL]: 1000,
};

export type GoodbyeOptions = {
  /** For the client's developer; the reason's own sentence if not given. */
  readonly detail?: string | undefined;
  readonly reconnectDelayMs?: number | undefined;
};

/** Thrown while a session is opened: it ends with this goodbye. */
export class SessionRefusedError extends Error {
  override readonly name = "SessionRefusedError";
  readonly goodbye: Goodbye;

  constructor(goodbye: Goodbye, cause?: unknown) {
    super(goodbye.detail, { cause });
    this.goodbye = goodbye;
  }
}

export function createGoodbye(reason: GoodbyeReason, options: GoodbyeOptions = {}): Goodbye {
  const { advice, detail } = ENDINGS[reason] ?? UNSPECIFIED;
  const delayMs = options.reconnectDelayMs ?? DELAY_MS[reason];
  return create(GoodbyeSchema, {
    reason,
    reconnect: advice,
    detail: options.detail ?? detail,
    ...(delayMs === undefined ? {} : { reconnectDelay: durationFromMs(Math.round(delayMs)) }),
  });
}

export function goodbyeFrame(goodbye: Goodbye): ServerFrame {
  return create(ServerFrameSchema, { frame: { case: "goodbye", value: goodbye } });
}

/** 4000 to 4499 reconnect, 4500 to 4899 stop, 4900 to 4999 re-authenticate. */
export function closeCodeOf(goodbye: Goodbye): number {
  switch (goodbye.reconnect) {
    case STOP:
      return CODE_STOP + goodbye.reason;
    case REAUTHENTICATE:
      return CODE_REAUTHENTICATE + goodbye.reason;
    default:
      return CODE_RECONNECT + goodbye.reason;
  }
}

/** What a client frame is answered with. Nothing here knows the road that frames take. */
import { pathToString } from "@bufbuild/protobuf/reflect";
import type { Validator } from "@bufbuild/protovalidate";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type ClientFrame,
  ClientFrameSchema,
  type MorePositions,
  type ServerFrame,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import {
  internal,
  invalidFields,
  reasonOf,
  resourceExhausted,
  unavailable,
} from "@parley/platform/errors";
import type { FrameActions } from "./frame-actions.ts";
import { ANSWERS_IN_FLIGHT_MAX } from "./limits.ts";
import type { PresenceWatches } from "./presence-watches.ts";
import { answerFrame, doneFrame, heartbeatFrame, refusedFrame } from "./server-frames.ts";
import type { Session } from "./session.ts";

export type FrameHandlerDependencies = {
  readonly validator: Validator;
  readonly actions: FrameActions;
  readonly watches: Pick<PresenceWatches, "replace">;
  /** Ends a session whose client broke the protocol. */
  readonly breach: (session: Session, detail: string) => void;
  /** Ends a session whose client needs it no longer; returns the answer where it takes another road. */
  readonly finish: (session: Session, answer: ServerFrame) => ServerFrame | undefined;
  /** Takes further positions; catch-up starts after the last. False if they had been complete. */
  readonly addPositions: (session: Session, positions: MorePositions) => boolean;
  /** Told the reason of each refusal. */
  readonly onRefused: (reason: string) => void;
  /** True once the gateway ends and takes nothing new. */
  readonly isDraining: () => boolean;
};

/** One frame's answer, now or later; undefined for frames that get none. Never rejects. */
export type Answer = ServerFrame | undefined | Promise<ServerFrame | undefined>;

export type FrameHandler = (session: Session, frame: ClientFrame) => Answer;

/** When a client that was told to wait for its answers may go on, in ms. */
const BUSY_RETRY_MS = 100;
const DRAINING_RETRY_MS = 500;
const VIOLATIONS_MAX = 20;

export function createFrameHandler(dependencies: FrameHandlerDependencies): FrameHandler {
  const { onRefused } = dependencies;

  const refuse = (requestId: bigint, error: unknown): ServerFrame => {
    onRefused(reasonOf(error) ?? "INTERNAL");
    return refusedFrame(requestId, error);
  };

  const later = async (
    session: Session,
    requestId: bigint,
    start: () => Promise<ServerFrame>,
  ): Promise<ServerFrame> => {
    if (session.answersInFlight >= ANSWERS_IN_FLIGHT_MAX) {
      const text = `More than ${ANSWERS_IN_FLIGHT_MAX} frames of this session wait for an answer.`;
      const options = { retryAfterMs: BUSY_RETRY_MS };
      return refuse(requestId, resourceExhausted("TOO_MANY_IN_FLIGHT", text, options));
    }
    session.answersInFlight++;
    try {
      return await start();
    } catch (error) {
      return refuse(requestId, error);
    } finally {
      session.answersInFlight--;
    }
  };

  return (session, frame) => {
    const { requestId } = frame;
    if (frame.frame.case === "heartbeat") return heartbeatFrame(requestId);
    // Also while the gateway ends: it is what everybody is being asked to do.
    if (frame.frame.case === "close") return dependencies.finish(session, doneFrame(requestId));
    const violation = violationOf(dependencies.validator, frame);
    if (violation !== undefined) return refuse(requestId, violation);
    if (dependencies.isDraining()) {
      const options = { retryAfterMs: DRAINING_RETRY_MS };
      return refuse(
        requestId,
        unavailable("SERVER_DRAINING", "The server is going away.", options),
      );
    }
    return act(session, frame, dependencies, refuse, (start) => later(session, requestId, start));
  };
}

function act(
  session: Session,
  { requestId, frame }: ClientFrame,
  dependencies: FrameHandlerDependencies,
  refuse: (requestId: bigint, error: unknown) => ServerFrame,
  later: (start: () => Promise<ServerFrame>) => Promise<ServerFrame>,
): Answer {
  const { actions, watches, breach, addPositions } = dependencies;
  switch (frame.case) {
    case "send":
      return later(async () => {
        const sent = await actions.send(session, frame.value);
        return answerFrame(requestId, { case: "sent", value: sent });
      });
    case "receipt":
      return later(async () => {
        await actions.updateReceipt(session, frame.value);
        return doneFrame(requestId);
      });
    case "typing":
      actions.notifyTyping(session, frame.value);
      return undefined;
    case "watchPresence":
      return later(async () => {
        actions.charge(session);
        await watches.replace(session, frame.value);
        return doneFrame(requestId);
      });
    case "authenticate":
      return later(async () => {
        await actions.authenticate(session, frame.value);
        return doneFrame(requestId);
      });
    case "morePositions":
      if (addPositions(session, frame.value)) return doneFrame(requestId);
      breach(session, "`more_positions` came after the positions were complete.");
      return undefined;
    case "open":
      breach(session, "A second `open` came; a session is opened once.");
      return undefined;
    default:
      return refuse(
        requestId,
        new ConnectError("This server does not know the frame.", Code.Unimplemented),
      );
  }
}

function violationOf(validator: Validator, frame: ClientFrame): ConnectError | undefined {
  const result = validator.validate(ClientFrameSchema, frame);
  if (result.kind === "valid") return undefined;
  // A rule that cannot be evaluated is a mistake in the contract, not in the frame.
  if (result.kind === "error") return internal(result.error);
  return invalidFields(
    result.violations.slice(0, VIOLATIONS_MAX).map(({ field, message }) => ({
      field: pathToString(field),
      description: message,
    })),
  );
}

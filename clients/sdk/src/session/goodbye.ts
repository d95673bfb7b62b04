/** What the server said when it ended a session, as an error. */
import { Code } from "@connectrpc/connect";
import {
  type Goodbye,
  GoodbyeReason,
  GoodbyeReasonSchema,
  ReconnectAdvice,
} from "@parley/gen/parley/realtime/v1/frame_pb";
import { ParleyError } from "../errors.ts";

const FINAL = "final";

/** The goodbye as an error; its reason is the goodbye's, for example `DEVICE_REVOKED`. */
export function goodbyeError({ reason, reconnect, detail }: Goodbye): ParleyError {
  const stop = reconnect === ReconnectAdvice.STOP;
  const authenticate = reconnect === ReconnectAdvice.REAUTHENTICATE;
  return new ParleyError({
    code: authenticate ? Code.Unauthenticated : Code.Unavailable,
    reason: nameOf(reason),
    message: detail === "" ? "The server ended the session." : detail,
    metadata: stop ? { [FINAL]: "true" } : {},
  });
}

function nameOf(reason: GoodbyeReason): string {
  if (reason === GoodbyeReason.UNSPECIFIED) return "GOODBYE";
  return GoodbyeReasonSchema.value[reason]?.localName ?? "GOODBYE";
}

/** True if connecting again is pointless: the server said so, or the refresh token is not taken any more. */
export function isFinal(error: ParleyError): boolean {
  return (
    error.metadata[FINAL] === "true" ||
    error.reason === "SIGNED_OUT" ||
    error.reason.startsWith("REFRESH_TOKEN_")
  );
}

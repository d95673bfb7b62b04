/** The refusals of this service, as its callers are told them. */
import type { ConnectError } from "@connectrpc/connect";
import {
  failedPrecondition,
  invalidArgument,
  notFound,
  permissionDenied,
} from "@parley/platform/errors";
import type { RefusalReason } from "../domain/applier.ts";

/** The refusal for a reason that the applier gave. */
export function refusalOf(reason: RefusalReason): ConnectError {
  switch (reason) {
    case "CONVERSATION_NOT_FOUND":
      return notFound(reason, "There is no such conversation.");
    case "NOT_A_MEMBER":
      return permissionDenied(reason, "You are no member of this conversation any more.");
    case "CANNOT_SEND":
      return permissionDenied(reason, "The other person does not take messages from you.");
    case "PAYLOAD_TOO_LARGE":
      return invalidArgument("payload", "The payload is above the server's limit.", reason);
    case "CHANGE_OUT_OF_ORDER":
      return failedPrecondition(reason, "A change that comes before this one is missing.");
    case "CHANGE_CONFLICT":
      return failedPrecondition(reason, "Another change of this version has been applied.");
  }
}

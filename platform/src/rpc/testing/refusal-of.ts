import assert from "node:assert/strict";
import { ConnectError } from "@connectrpc/connect";

/** The refusal of a call that must be refused; fails the test when it is not, or with another error. */
export async function refusalOf(call: Promise<unknown>): Promise<ConnectError> {
  const error: unknown = await call.then(
    () => assert.fail("the call was not refused"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ConnectError, String(error));
  return error;
}

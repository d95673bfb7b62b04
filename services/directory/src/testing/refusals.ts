/** Expected refusals. */
import assert from "node:assert/strict";
import { ConnectError } from "@connectrpc/connect";
import { reasonOf } from "@parley/platform/errors";

/** The refusal that a call ends with; fails when it succeeds, or is refused for another reason. */
export async function refusedWith(call: Promise<unknown>, reason: string): Promise<ConnectError> {
  const error: unknown = await call.then(
    () => assert.fail(`not refused with ${reason}`),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ConnectError)) throw error;
  assert.equal(reasonOf(error), reason, error.message);
  return error;
}

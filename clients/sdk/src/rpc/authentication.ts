/** Puts the access token on every call that needs one. */
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { OpsService } from "@parley/gen/parley/ops/v1/ops_service_pb";
import { toParleyError } from "../errors.ts";

/** Calls that the contract opens to everybody (`ACCESS_PUBLIC`). */
const publicMethods = new Set<unknown>([
  AccountService.method.signUp,
  AccountService.method.signIn,
  AccountService.method.signInWithExternalToken,
  AccountService.method.refreshTokens,
  OpsService.method.getServerInfo,
]);

/**
 * Adds `Authorization: Bearer`. A call that is refused as unauthenticated is repeated once with a new token:
 * the server's clock may be ahead of this one.
 */
export function createAuthentication(tokens: {
  /** A token that is valid as far as the client knows, and is not `refused`. */
  accessToken(refused?: string): Promise<string>;
}): Interceptor {
  return (next) => async (request) => {
    if (publicMethods.has(request.method)) return next(request);
    const token = await orConnectError(tokens.accessToken());
    request.header.set("Authorization", `Bearer ${token}`);
    try {
      return await next(request);
    } catch (error) {
      if (request.stream || ConnectError.from(error).code !== Code.Unauthenticated) throw error;
      const renewed = await orConnectError(tokens.accessToken(token));
      request.header.set("Authorization", `Bearer ${renewed}`);
      return next(request);
    }
  };
}

/** Connect hands only its own errors through unchanged; the original is the cause and comes out again. */
async function orConnectError<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (cause) {
    const error = toParleyError(cause);
    throw new ConnectError(error.message, error.code, undefined, undefined, error);
  }
}

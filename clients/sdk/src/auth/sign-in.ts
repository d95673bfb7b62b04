/** Signing up, in and out. */
import { type Client, Code } from "@connectrpc/connect";
import type { DevicePlatform, Tokens, User } from "@parley/gen/parley/account/v1/account_pb";
import type { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { clientError, toParleyError } from "../errors.ts";
import { type TokenKeeper, toAccount } from "./token-keeper.ts";

export type Authentication = {
  /**
   * Creates an account and signs this device in.
   *
   * @throws ParleyError for example `USERNAME_TAKEN`, `SIGN_UP_CLOSED`, or `INVALID_FIELD` with the field.
   */
  signUp(request: {
    readonly username: string;
    readonly password: string;
    readonly displayName?: string | undefined;
  }): Promise<User>;
  /** Signs this device in. @throws ParleyError for example `BAD_CREDENTIALS`. */
  signIn(request: { readonly username: string; readonly password: string }): Promise<User>;
  /** Signs this device in with a token of the issuer that the server trusts. */
  signInWithExternalToken(externalToken: string): Promise<User>;
  /**
   * Signs this device out and forgets everything about the person here, the outbox included. When the server
   * could not be told, that is thrown afterwards; the tokens then live on there until they expire.
   */
  signOut(): Promise<void>;
};

type Answer = {
  readonly user?: User | undefined;
  readonly deviceId: string;
  readonly tokens?: Tokens | undefined;
};

export function createAuthenticationCalls(dependencies: {
  readonly accounts: Client<typeof AccountService>;
  readonly tokens: TokenKeeper;
  readonly device: { readonly name: string; readonly platform: DevicePlatform };
  readonly ready: Promise<void>;
  /** Before the tokens are kept. */
  readonly onSignIn: (user: User) => Promise<void>;
  readonly onSignedIn: () => void;
  /** Before the server is told: the session must not take the end of its tokens for a theft. */
  readonly disconnect: () => Promise<void>;
  readonly onSignOut: () => Promise<void>;
}): Authentication {
  const { accounts, tokens, device, ready } = dependencies;
  const take = async (call: () => Promise<Answer>): Promise<User> => {
    await ready;
    const { user, deviceId, tokens: given } = await call();
    if (!user) throw clientError(Code.Internal, "PROTOCOL", "The server's answer lacks the user.");
    const account = toAccount({ userId: user.userId, deviceId, username: user.username }, given);
    await dependencies.onSignIn(user);
    await tokens.keep(account);
    dependencies.onSignedIn();
    return user;
  };
  return {
    signUp: ({ username, password, displayName = "" }) =>
      take(() => accounts.signUp({ username, password, displayName, device })),
    signIn: ({ username, password }) => take(() => accounts.signIn({ username, password, device })),
    signInWithExternalToken: (externalToken) =>
      take(() => accounts.signInWithExternalToken({ externalToken, device })),
    async signOut() {
      await ready;
      await dependencies.disconnect();
      let failure: unknown;
      if (tokens.account) await accounts.signOut({}).catch((error) => (failure = error));
      await tokens.forget();
      await dependencies.onSignOut();
      // Who is unknown to the server is signed out already.
      const error = failure === undefined ? undefined : toParleyError(failure);
      if (error && error.code !== Code.Unauthenticated) throw error;
    },
  };
}

/** Holds the device's tokens and keeps them fresh. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import type { Tokens } from "@parley/gen/parley/account/v1/account_pb";
import { clientError, toParleyError } from "../errors.ts";
import type { ClientStorage, StoredAccount } from "../storage/client-storage.ts";

/** The refresh token is no longer taken: the person has to sign in again. */
const ENDED_REASONS = new Set(["REFRESH_TOKEN_REUSED", "REFRESH_TOKEN_INVALID"]);

export type TokenKeeper = {
  /** The signed-in account; undefined before signing in and after signing out. */
  readonly account: StoredAccount | undefined;
  /** Takes over what the storage holds. */
  restore(account: StoredAccount | undefined): void;
  /** Keeps a new account, stored before this resolves. */
  keep(account: StoredAccount): Promise<void>;
  /** Forgets the account. */
  forget(): Promise<void>;
  /**
   * An access token that is good for at least the margin and is not `refused`, refreshing if need be. All
   * callers at a time share one refresh.
   *
   * @throws ParleyError `SIGNED_OUT`, or what the refresh met.
   */
  accessToken(refused?: string): Promise<string>;
};

export type TokenKeeperDependencies = {
  readonly storage: Pick<ClientStorage, "readAccount" | "write">;
  readonly refreshTokens: (refreshToken: string) => Promise<Tokens>;
  readonly now: () => number;
  /** A token that expires within this many ms counts as expired: it travels and clocks differ. */
  readonly marginMs: number;
  /** The server ended the device's session for good. */
  readonly onSignedOut: (reason: string) => void;
};

/** The account after a successful sign-up, sign-in or refresh. */
export function toAccount(
  who: Pick<StoredAccount, "userId" | "deviceId" | "username">,
  tokens: Tokens | undefined,
): StoredAccount {
  if (!tokens?.accessExpireTime || !tokens.refreshExpireTime) {
    throw clientError(Code.Internal, "PROTOCOL", "The server's answer lacks tokens.");
  }
  return {
    userId: who.userId,
    deviceId: who.deviceId,
    username: who.username,
    accessToken: tokens.accessToken,
    accessExpireMs: timestampMs(tokens.accessExpireTime),
    refreshToken: tokens.refreshToken,
    refreshExpireMs: timestampMs(tokens.refreshExpireTime),
  };
}

function signedOut() {
  return clientError(Code.Unauthenticated, "SIGNED_OUT", "Nobody is signed in.");
}

/** Creates a keeper. */
export function createTokenKeeper(dependencies: TokenKeeperDependencies): TokenKeeper {
  const { storage, now, marginMs } = dependencies;
  let account: StoredAccount | undefined;
  let refreshing: Promise<string> | undefined;

  const isFresh = (candidate: StoredAccount, refused: string | undefined) =>
    candidate.accessToken !== refused && candidate.accessExpireMs - marginMs > now();

  const end = async (reason: string) => {
    account = undefined;
    await storage.write({ account: null });
    dependencies.onSignedOut(reason);
  };

  const refresh = async (before: StoredAccount, refused: string | undefined): Promise<string> => {
    // Another tab may have refreshed meanwhile; reusing the old refresh token later than 60 seconds after
    // that would look like theft.
    const stored = await storage.readAccount();
    const newest = stored?.deviceId === before.deviceId ? stored : before;
    if (newest !== before && isFresh(newest, refused)) {
      account = newest;
      return newest.accessToken;
    }
    try {
      const successor = toAccount(newest, await dependencies.refreshTokens(newest.refreshToken));
      // Somebody may have signed out, or signed in as another device, while this was on its way.
      if (account?.deviceId !== successor.deviceId) throw signedOut();
      // Stored before it is used: a crash between must not leave only the replaced token behind.
      await storage.write({ account: successor });
      if (account.deviceId === successor.deviceId) account = successor;
      return successor.accessToken;
    } catch (caught) {
      const error = toParleyError(caught);
      if (error.code === Code.Unauthenticated && ENDED_REASONS.has(error.reason)) {
        await end(error.reason);
      }
      throw error;
    }
  };

  return {
    get account() {
      return account;
    },
    restore(stored) {
      account = stored;
    },
    async keep(next) {
      await storage.write({ account: next });
      account = next;
    },
    async forget() {
      account = undefined;
      await storage.write({ account: null });
    },
    async accessToken(refused) {
      if (!account) throw signedOut();
      if (isFresh(account, refused)) return account.accessToken;
      refreshing ??= refresh(account, refused).finally(() => {
        refreshing = undefined;
      });
      return refreshing;
    },
  };
}

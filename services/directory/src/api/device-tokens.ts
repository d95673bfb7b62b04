/** Devices that sign in, and the tokens that they get. */
import { randomBytes } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { DeviceDescription, TokensSchema } from "@parley/gen/parley/account/v1/account_pb";
import { invalidArgument } from "@parley/platform/errors";
import { newUuid } from "@parley/platform/ids";
import type { AccessTokenSigner, NewDevice } from "../account-ports.ts";
import {
  formatRefreshToken,
  hashRefreshSecret,
  REFRESH_SECRET_BYTES,
  type RefreshTokenKeys,
} from "../domain/refresh-token.ts";
import { issueToken, type StoredToken } from "../domain/rotation.ts";

/** How long tokens are accepted, in ms. */
export type TokenLifetimes = {
  readonly accessMs: number;
  readonly refreshMs: number;
};

/** What it takes to make tokens. */
export type TokenMaking = {
  readonly signer: Pick<AccessTokenSigner, "sign">;
  readonly refreshTokenKeys: RefreshTokenKeys;
  readonly lifetimes: TokenLifetimes;
};

/** A device that is about to sign in, and the secret of its first refresh token, which is not stored. */
export type SigningIn = NewDevice & { readonly secret: Uint8Array };

/** Makes a device out of what it says about itself. */
export function signDeviceIn(
  { lifetimes }: Pick<TokenMaking, "lifetimes">,
  userId: string,
  description: DeviceDescription | undefined,
  nowMs: number,
): SigningIn {
  if (description === undefined) throw invalidArgument("device", "The device is missing.");
  const secret = randomBytes(REFRESH_SECRET_BYTES);
  const times = { nowMs, lifetimeMs: lifetimes.refreshMs };
  return {
    device: {
      deviceId: newUuid(nowMs),
      userId,
      name: description.name,
      platform: description.platform,
      createTimeMs: nowMs,
      lastRefreshTimeMs: nowMs,
    },
    token: issueToken(1, hashRefreshSecret(secret), times),
    secret,
  };
}

/**
 * The tokens of a device as they are handed out. The access token counts from when the refresh token was
 * issued; so the same refresh gives the same two tokens whenever it is repeated.
 */
export async function makeTokens(
  { signer, refreshTokenKeys, lifetimes }: TokenMaking,
  device: { readonly userId: string; readonly deviceId: string },
  issued: StoredToken,
  secret: Uint8Array,
): Promise<MessageInitShape<typeof TokensSchema>> {
  const { userId, deviceId } = device;
  const { generation, issueTimeMs, expireTimeMs } = issued;
  // A JWT's times are whole seconds; the message says the same as the token.
  const accessExpireTimeMs = Math.floor((issueTimeMs + lifetimes.accessMs) / 1000) * 1000;
  return {
    accessToken: await signer.sign({
      userId,
      deviceId,
      issueTimeMs,
      expireTimeMs: accessExpireTimeMs,
    }),
    accessExpireTime: timestampFromMs(accessExpireTimeMs),
    refreshToken: formatRefreshToken(
      { deviceId, generation, expireTimeMs, secret },
      refreshTokenKeys,
    ),
    refreshExpireTime: timestampFromMs(expireTimeMs),
  };
}

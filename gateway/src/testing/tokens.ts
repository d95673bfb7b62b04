/** A directory's side of access tokens: real Ed25519 keys, as many as a test rotates through. */
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";

export type TokenMint = {
  readonly issuer: string;
  jwksJson(): string;
  /** Makes a new key, which signs from now on; the old ones stay valid. */
  rotate(): Promise<void>;
  /** Publishes none of the keys there were; they still sign. */
  retire(): void;
  mint(token: {
    readonly userId: string;
    readonly deviceId: string;
    readonly expireTimeMs: number;
    readonly issuer?: string;
  }): Promise<string>;
};

export async function createTokenMint(): Promise<TokenMint> {
  const issuer = "parley-test";
  const published: JWK[] = [];
  let current: { kid: string; key: CryptoKey };
  const rotate = async () => {
    const kid = `key-${published.length + 1}`;
    const pair = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
    published.push({ ...(await exportJWK(pair.publicKey)), kid, alg: "EdDSA", use: "sig" });
    current = { kid, key: pair.privateKey };
  };
  await rotate();
  return {
    issuer,
    jwksJson: () => JSON.stringify({ keys: published }),
    rotate,
    retire: () => void published.splice(0),
    mint: ({ userId, deviceId, expireTimeMs, issuer: other }) =>
      new SignJWT({ did: deviceId })
        .setProtectedHeader({ alg: "EdDSA", kid: current.kid })
        .setIssuer(other ?? issuer)
        .setSubject(userId)
        .setExpirationTime(Math.floor(expireTimeMs / 1000))
        .sign(current.key),
  };
}

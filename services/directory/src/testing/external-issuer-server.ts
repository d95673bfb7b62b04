/** An issuer of tokens on a real socket, with a key of its own. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT, UnsecuredJWT } from "jose";

export type TestIssuer = AsyncDisposable & {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUrl: string;
  /** While true, the keys cannot be had. */
  failing: boolean;
  /** A token that is valid for five minutes; claims that are given win, and undefined ones are left out. */
  sign(claims: Record<string, unknown>, nowMs: number): Promise<string>;
  /** The attack that confuses algorithms: HS256 with the public key as the secret. */
  signWithPublicKeyAsSecret(nowMs: number): Promise<string>;
  leaveUnsigned(nowMs: number): string;
};

const LIFETIME_SECONDS = 300;

export async function createTestIssuer(): Promise<TestIssuer> {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const jwk = { ...(await exportJWK(publicKey)), kid: "key-1", use: "sig" };
  const keys = JSON.stringify({ keys: [jwk] });
  const server = createServer((_request, response) => {
    response.writeHead(issuer.failing ? 503 : 200, { "content-type": "application/json" });
    response.end(issuer.failing ? "" : keys);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const payload = (claims: Record<string, unknown>, nowMs: number): JWTPayload => {
    const iat = Math.floor(nowMs / 1000);
    const base = { iss: origin, aud: "parley-test", iat, exp: iat + LIFETIME_SECONDS };
    return { ...base, ...claims };
  };
  const issuer: TestIssuer = {
    issuer: origin,
    audience: "parley-test",
    jwksUrl: `${origin}/keys`,
    failing: false,
    sign: (claims, nowMs) =>
      new SignJWT(payload(claims, nowMs))
        .setProtectedHeader({ alg: "ES256", kid: "key-1" })
        .sign(privateKey),
    signWithPublicKeyAsSecret: (nowMs) =>
      new SignJWT(payload({ sub: "42" }, nowMs))
        .setProtectedHeader({ alg: "HS256", kid: "key-1" })
        .sign(new TextEncoder().encode(JSON.stringify(jwk))),
    leaveUnsigned: (nowMs) => new UnsecuredJWT(payload({ sub: "42" }, nowMs)).encode(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return issuer;
}

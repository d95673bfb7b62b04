import type { AccessTokenSigner } from "../account-ports.ts";
import type { DirectoryHandlers } from "./account-handler.ts";

type Deps = { readonly signer: Pick<AccessTokenSigner, "issuer" | "readJwksJson"> };

/** `DirectoryService.GetVerificationKeys` */
export function createGetVerificationKeys({
  signer,
}: Deps): DirectoryHandlers["getVerificationKeys"] {
  return async () => ({ jwksJson: await signer.readJwksJson(), issuer: signer.issuer });
}

import type { AccessTokenSigner } from "../account-ports.ts";
import type { DirectoryHandlers } from "./account-handler.ts";

type Deps = { readonly signer: Pick<AccessTokenSigner, "issuer" | "jwksJson"> };

/** `DirectoryService.GetVerificationKeys` */
export function createGetVerificationKeys({
  signer,
}: Deps): DirectoryHandlers["getVerificationKeys"] {
  return async () => ({ jwksJson: signer.jwksJson, issuer: signer.issuer });
}

/** The operator's certificate and key, read and checked before anybody connects. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { SettingError } from "@parley/platform/config";

export type TlsFiles = { readonly certificateFile: string; readonly keyFile: string };
export type TlsTexts = { readonly certificate: string; readonly key: string };

const CERTIFICATE = "PARLEY_GATEWAY_TLS_CERTIFICATE";
const KEY = "PARLEY_GATEWAY_TLS_KEY";

/** Gives the PEM texts of a certificate and its own key. Throws a `SettingError` that says which file is wrong. */
export async function readTlsFiles({ certificateFile, keyFile }: TlsFiles): Promise<TlsTexts> {
  const certificate = await read(CERTIFICATE, certificateFile);
  const key = await read(KEY, keyFile);
  const leaf = parse(CERTIFICATE, certificateFile, "PEM certificate (chain)", () => {
    return new X509Certificate(certificate);
  });
  const privateKey = parse(KEY, keyFile, "PEM private key without a passphrase", () => {
    return createPrivateKey(key);
  });
  assertPair(leaf, privateKey, { certificateFile, keyFile });
  return { certificate, key };
}

async function read(variable: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new SettingError(variable, `${variable} is ${path}, and ${whyUnread(error)}.`, error);
  }
}

function whyUnread(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  switch (code) {
    case "ENOENT":
      return "there is no such file: correct the path, or put the file there";
    case "EACCES":
      return "this user may not read it: give the server's user the right to";
    case "EISDIR":
      return "that is a folder: name the file in it";
    default:
      return `it cannot be read (${code ?? String(error)})`;
  }
}

function parse<T>(variable: string, path: string, what: string, make: () => T): T {
  try {
    return make();
  } catch {
    // What the library says may repeat a part of the key.
    throw new SettingError(variable, `${variable} is ${path}, and that file is no ${what}.`);
  }
}

function assertPair(leaf: X509Certificate, key: KeyObject, files: TlsFiles): void {
  if (leaf.checkPrivateKey(key)) return;
  throw new SettingError(
    KEY,
    `${KEY} is ${files.keyFile}, and that is not the key of the certificate in ${files.certificateFile} (${CERTIFICATE}): name the two that were made together; in a chain, the server's own certificate comes first.`,
  );
}

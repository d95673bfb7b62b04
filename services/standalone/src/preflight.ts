/** What can be found out about the settings on this machine before a server is started. */
import { readTlsFiles } from "@parley/gateway/inbound/tls-files";
import { type Env, SettingError } from "@parley/platform/config";
import { toStandaloneConfig } from "./config.ts";

/** What keeps the TLS files from being used; undefined if they can be, or none are set. Throws a `ConfigError`. */
export async function findTlsProblem(env: Env): Promise<SettingError | undefined> {
  const { tls } = toStandaloneConfig(env).gateway;
  if (tls === undefined) return undefined;
  try {
    await readTlsFiles(tls);
    return undefined;
  } catch (error) {
    if (error instanceof SettingError) return error;
    throw error;
  }
}

/** Why the port cannot be had, for the operator. */
import { SettingError } from "@parley/platform/config";

const PORT = "PARLEY_GATEWAY_PORT";
const HOST = "PARLEY_GATEWAY_HOST";

/** The error of a `listen` as a `SettingError` where a setting mends it; any other error as it is. */
export function explainListenError(
  error: unknown,
  host: string | undefined,
  port: number,
): unknown {
  const where = host === undefined ? "" : ` on ${host}`;
  const unusable = (variable: string, message: string) =>
    new SettingError(variable, message, error);
  switch ((error as NodeJS.ErrnoException).code) {
    case "EADDRINUSE":
      return unusable(
        PORT,
        `${PORT} is ${port}, and another program listens there${where}, perhaps another Parley server: stop that one, or set another port. \`parley doctor\` says whether it is Parley; \`ss -ltnp 'sport = :${port}'\` says which program.`,
      );
    case "EACCES":
      return unusable(
        PORT,
        `${PORT} is ${port}, and this user may not use it${where}: ports below 1024 are for root, or for a program with CAP_NET_BIND_SERVICE. Set a port from 1024 on, with a proxy in front if it has to be ${port}.`,
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return unusable(
        HOST,
        `${HOST} is ${host}, and that is no address of this machine: set one that \`ip address\` shows, or * for all of them.`,
      );
    default:
      return error;
  }
}

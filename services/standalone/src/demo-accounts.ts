/** Accounts to try a demo server with, made over its own public API like anybody's. */
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { DevicePlatform } from "@parley/gen/parley/account/v1/account_pb";
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { reasonOf } from "@parley/platform/errors";

export type DemoAccount = { readonly username: string; readonly password: string };

const names = [
  ["ana", "Ana Ruiz"],
  ["ben", "Ben Okafor"],
  ["chen", "Chen Wei"],
] as const;

const DEMO_PASSWORD = "parley-demo";

/** Creates the accounts that are missing, and returns all of them. */
export async function createDemoAccounts(port: number): Promise<readonly DemoAccount[]> {
  const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` });
  const accounts = createClient(AccountService, transport);
  const device = { name: "Demo setup", platform: DevicePlatform.SERVICE };
  for (const [username, displayName] of names) {
    try {
      await accounts.signUp({ username, displayName, password: DEMO_PASSWORD, device });
    } catch (error) {
      if (reasonOf(ConnectError.from(error)) !== "USERNAME_TAKEN") throw error;
    }
  }
  return names.map(([username]) => ({ username, password: DEMO_PASSWORD }));
}

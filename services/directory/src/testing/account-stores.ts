/** What the contract suites of the account half's stores are run with. */
import { createHash } from "node:crypto";
import { DevicePlatform, PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import { newUuid } from "@parley/platform/ids";
import type {
  AccountStore,
  DeviceStore,
  NewAccount,
  NewDevice,
  PrivacyStore,
  RevocationOutbox,
  ServerKeyStore,
} from "../account-ports.ts";
import type { BlockOutbox, ContactStore } from "../contact-ports.ts";
import type { People } from "../conversation-ports.ts";
import type { Account } from "../domain/account.ts";
import { issueToken } from "../domain/rotation.ts";

export type AccountStores = AsyncDisposable & {
  readonly accounts: AccountStore & PrivacyStore;
  readonly devices: DeviceStore & RevocationOutbox;
  readonly keys: ServerKeyStore;
  readonly contacts: ContactStore;
  readonly blocks: BlockOutbox;
  readonly people: People;
};

export const NOW_MS = Date.UTC(2026, 0, 1);
export const LIFETIME_MS = 30 * 24 * 60 * 60 * 1000;

/** The hash of the nth token of a device. */
export function hashOf(deviceId: string, generation: number): string {
  return createHash("sha256").update(`${deviceId} ${generation}`).digest("hex");
}

export function deviceOf(userId: string, nowMs = NOW_MS): NewDevice {
  const deviceId = newUuid(nowMs);
  return {
    device: {
      deviceId,
      userId,
      name: "Device",
      platform: DevicePlatform.NODE,
      createTimeMs: nowMs,
      lastRefreshTimeMs: nowMs,
    },
    token: issueToken(1, hashOf(deviceId, 1), { nowMs, lifetimeMs: LIFETIME_MS }),
  };
}

export function accountOf(username: string, changes: Partial<Account> = {}): NewAccount {
  const userId = newUuid(NOW_MS);
  const account: Account = {
    userId,
    username,
    displayName: username,
    about: "",
    createTimeMs: NOW_MS,
    privacy: {
      presenceVisibility: PresenceVisibility.CONTACTS_AND_GROUPS,
      sendReadReceipts: true,
      searchable: true,
    },
    ...changes,
  };
  return { account, passwordHash: `hash of ${username}`, first: deviceOf(userId) };
}

/** Creates people with these usernames and gives their accounts, in order. */
export async function addPeople(
  { accounts }: Pick<AccountStores, "accounts">,
  ...usernames: readonly string[]
): Promise<NewAccount[]> {
  const created = usernames.map((username) => accountOf(username));
  for (const account of created) await accounts.createAccount(account);
  return created;
}

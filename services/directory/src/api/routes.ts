/** The table of contents of the account half; the conversation half's is in `conversation-wiring.ts`. */
import { AccountService } from "@parley/gen/parley/account/v1/account_service_pb";
import { ContactService } from "@parley/gen/parley/contact/v1/contact_service_pb";
import { DirectoryService } from "@parley/gen/parley/internal/directory/v1/directory_service_pb";
import { defineRoute, type Routes } from "@parley/platform/rpc/route";
import { createAddContact } from "./add-contact.ts";
import { createBatchGetUsers } from "./batch-get-users.ts";
import { createBlockUser } from "./block-user.ts";
import { createChangePassword } from "./change-password.ts";
import { createCheckDevices } from "./check-devices.ts";
import { createFilterVisiblePresence } from "./filter-visible-presence.ts";
import { createGetAccount } from "./get-account.ts";
import { createGetReceiptSettings } from "./get-receipt-settings.ts";
import { createGetVerificationKeys } from "./get-verification-keys.ts";
import { createListBlocks } from "./list-blocks.ts";
import { createListContacts } from "./list-contacts.ts";
import { createListDevices } from "./list-devices.ts";
import { createRefreshTokens } from "./refresh-tokens.ts";
import { createRemoveContact } from "./remove-contact.ts";
import { createRevokeDevice } from "./revoke-device.ts";
import { createSearchUsers } from "./search-users.ts";
import { createSignIn } from "./sign-in.ts";
import { createSignInWithExternalToken } from "./sign-in-with-external-token.ts";
import { createSignOut } from "./sign-out.ts";
import { createSignUp } from "./sign-up.ts";
import { createUnblockUser } from "./unblock-user.ts";
import { createUpdatePrivacySettings } from "./update-privacy-settings.ts";
import { createUpdateProfile } from "./update-profile.ts";

/** What all handlers together need; each one states its own part. */
export type AccountRouteDependencies = Parameters<typeof createSignUp>[0] &
  Parameters<typeof createSignIn>[0] &
  Parameters<typeof createSignInWithExternalToken>[0] &
  Parameters<typeof createRefreshTokens>[0] &
  Parameters<typeof createChangePassword>[0] &
  Parameters<typeof createRevokeDevice>[0] &
  Parameters<typeof createListDevices>[0] &
  Parameters<typeof createGetAccount>[0] &
  Parameters<typeof createUpdateProfile>[0] &
  Parameters<typeof createUpdatePrivacySettings>[0] &
  Parameters<typeof createSearchUsers>[0] &
  Parameters<typeof createAddContact>[0] &
  Parameters<typeof createRemoveContact>[0] &
  Parameters<typeof createListContacts>[0] &
  Parameters<typeof createBlockUser>[0] &
  Parameters<typeof createUnblockUser>[0] &
  Parameters<typeof createListBlocks>[0] &
  Parameters<typeof createGetVerificationKeys>[0] &
  Parameters<typeof createCheckDevices>[0] &
  Parameters<typeof createFilterVisiblePresence>[0] &
  Parameters<typeof createGetReceiptSettings>[0];

export function createAccountRoutes(deps: AccountRouteDependencies): Routes {
  return [
    defineRoute(AccountService, {
      signUp: createSignUp(deps),
      signIn: createSignIn(deps),
      signInWithExternalToken: createSignInWithExternalToken(deps),
      refreshTokens: createRefreshTokens(deps),
      signOut: createSignOut(deps),
      changePassword: createChangePassword(deps),
      listDevices: createListDevices(deps),
      revokeDevice: createRevokeDevice(deps),
      getAccount: createGetAccount(deps),
      updateProfile: createUpdateProfile(deps),
      updatePrivacySettings: createUpdatePrivacySettings(deps),
      batchGetUsers: createBatchGetUsers(deps),
      searchUsers: createSearchUsers(deps),
    }),
    defineRoute(ContactService, {
      addContact: createAddContact(deps),
      removeContact: createRemoveContact(deps),
      listContacts: createListContacts(deps),
      blockUser: createBlockUser(deps),
      unblockUser: createUnblockUser(deps),
      listBlocks: createListBlocks(deps),
    }),
    defineRoute(DirectoryService, {
      getVerificationKeys: createGetVerificationKeys(deps),
      checkDevices: createCheckDevices(deps),
      filterVisiblePresence: createFilterVisiblePresence(deps),
      getReceiptSettings: createGetReceiptSettings(deps),
    }),
  ];
}

import type { Clock } from "@parley/platform/clock";
import { failedPrecondition, invalidArgument, permissionDenied } from "@parley/platform/errors";
import { requireDevice } from "@parley/platform/rpc/caller";
import type { ContactStore } from "../contact-ports.ts";
import { CONTACTS_MAX } from "../domain/account.ts";
import { type ContactHandlers, userNotFound } from "./account-handler.ts";
import { toContactMessage } from "./contact-answer.ts";

type Deps = { readonly contacts: Pick<ContactStore, "addContact">; readonly clock: Clock };

/** `ContactService.AddContact` */
export function createAddContact({ contacts, clock }: Deps): ContactHandlers["addContact"] {
  return async (request, context) => {
    const { userId } = requireDevice(context);
    if (request.userId === userId) {
      throw invalidArgument("user_id", "Nobody is a contact of themselves.");
    }
    const options = { contactsMax: CONTACTS_MAX, nowMs: clock.nowMs() };
    const outcome = await contacts.addContact(userId, request.userId, options);
    switch (outcome.kind) {
      case "added":
        return { contact: toContactMessage(outcome.contact) };
      case "user-not-found":
        throw userNotFound();
      case "blocked":
        throw permissionDenied("BLOCKED", "The caller blocks this person.");
      case "contact-limit":
        throw failedPrecondition("CONTACT_LIMIT", "The address book is full.", {
          contacts_max: String(CONTACTS_MAX),
        });
      default: {
        const unknown: never = outcome;
        throw new Error(`no answer for ${JSON.stringify(unknown)}`);
      }
    }
  };
}

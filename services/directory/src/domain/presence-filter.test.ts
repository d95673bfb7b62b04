import assert from "node:assert/strict";
import { test } from "node:test";
import { PresenceVisibility } from "@parley/gen/parley/account/v1/account_pb";
import fc from "fast-check";
import { filterVisible } from "./presence-filter.ts";

const { CONTACTS_AND_GROUPS, CONTACTS, NOBODY } = PresenceVisibility;

test("every combination of settings and relations is decided as the contract says", () => {
  const visibility = fc.constantFrom(CONTACTS_AND_GROUPS, CONTACTS, NOBODY, undefined);
  const relation = fc.record({
    viewer: visibility,
    other: visibility,
    mutual: fc.boolean(),
    group: fc.boolean(),
    blocked: fc.boolean(),
  });
  fc.assert(
    fc.property(relation, ({ viewer, other, mutual, group, blocked }) => {
      const visible = filterVisible(["other", "other"], {
        viewerVisibility: viewer,
        visibilities: new Map(other === undefined ? [] : [["other", other]]),
        mutualContacts: new Set(mutual ? ["other"] : []),
        groupMembers: new Set(group ? ["other"] : []),
        blocked: new Set(blocked ? ["other"] : []),
      });
      const hides = (who: PresenceVisibility | undefined) => who === undefined || who === NOBODY;
      const asContact = mutual && !hides(viewer) && !hides(other);
      const inGroup = group && viewer === CONTACTS_AND_GROUPS && other === CONTACTS_AND_GROUPS;
      assert.deepEqual(visible, !blocked && (asContact || inGroup) ? ["other"] : []);
    }),
    { numRuns: 500 },
  );
});

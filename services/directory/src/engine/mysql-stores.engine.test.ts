import { describeAccountStores } from "../account-ports.contract.ts";
import { describeContactStores } from "../contact-ports.contract.ts";
import { describeConversationStore } from "../conversation-ports.contract.ts";
import { describeInvitesAndOutbox } from "../invite-outbox.contract.ts";
import { openFreshMysqlStores } from "./testing/mysql-stores.ts";

describeAccountStores("MySQL", openFreshMysqlStores);
describeContactStores("MySQL", openFreshMysqlStores);
describeConversationStore("MySQL", openFreshMysqlStores);
describeInvitesAndOutbox("MySQL", openFreshMysqlStores);

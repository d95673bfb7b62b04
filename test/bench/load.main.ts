/** The load process: takes one plan at a time over IPC, drives the server, and answers with what it measured. */
import { runDirect } from "./load-direct.ts";
import { runGroup } from "./load-group.ts";
import { createIdleLoad } from "./load-idle.ts";
import type { LoadEvent, LoadPlan } from "./load-plan.ts";

const idle = createIdleLoad();

function tell(event: LoadEvent): void {
  process.send?.(event);
}

process.on("message", async (plan: LoadPlan) => {
  try {
    if (plan.kind === "direct") tell({ event: "result", result: await runDirect(plan, tell) });
    else if (plan.kind === "group") tell({ event: "result", result: await runGroup(plan, tell) });
    else if (plan.kind === "idle") tell({ event: "result", result: await idle.open(plan) });
    else tell({ event: "result", result: await idle.release() });
  } catch (error) {
    tell({
      event: "failed",
      reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  }
});

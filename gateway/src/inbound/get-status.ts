/** `OpsService.GetStatus`: what each part says of itself. */
import type { Health } from "@parley/platform/health";

export function createGetStatus(dependencies: {
  readonly health: Pick<Health, "snapshot">;
  readonly sessionCount: () => number;
}) {
  const { health, sessionCount } = dependencies;
  return () => ({
    components: health.snapshot().map(({ component, serving, reason }) => ({
      name: component,
      serving,
      reason,
    })),
    sessionCount: sessionCount(),
  });
}

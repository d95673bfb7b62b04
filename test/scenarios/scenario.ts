/** A scenario: something people do, written against the SDK, run on every road and topology. */
import type { RoadName } from "@parley/sdk";

export type ScenarioContext = {
  readonly server: { readonly url: string };
  readonly transport: RoadName;
  /** A username that nobody else in the run has. */
  readonly name: (of: string) => string;
};

export type Scenario = {
  readonly name: string;
  readonly run: (context: ScenarioContext) => Promise<void>;
};

/** A reporter for `node --test` that yields one JSON object: how many tests passed and failed. */
import type { TestEvent } from "node:test/reporters";

export default async function* tally(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let passed = 0;
  let failed = 0;
  for await (const event of source) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    if (event.data.details.type === "suite") continue;
    if (event.type === "test:fail") failed += 1;
    else if (event.data.skip === undefined && event.data.todo === undefined) passed += 1;
  }
  yield JSON.stringify({ passed, failed });
}

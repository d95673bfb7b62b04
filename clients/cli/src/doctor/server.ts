/** Does a running server answer, and what does it say of itself? */
import type { GetServerInfoResponse } from "@parley/gen/parley/ops/v1/ops_service_pb";
import { createParleyClient } from "@parley/sdk";
import { type Finding, ok, problem, warning } from "./finding.ts";

const ANSWER_MS_MAX = 5_000;
/** Tokens and heartbeats bear this much difference between two clocks. */
const CLOCK_DIFFERENCE_MS_MAX = 30_000;

/** Undefined if no Parley server answers. */
export async function askServer(url: string): Promise<GetServerInfoResponse | undefined> {
  const client = createParleyClient({ url });
  try {
    return await client.ops.getServerInfo({}, { timeoutMs: ANSWER_MS_MAX });
  } catch {
    return undefined;
  } finally {
    await client.close();
  }
}

export async function checkServer(server: string): Promise<readonly Finding[]> {
  const url = /^https?:\/\//.test(server) ? server : `http://${server}`;
  if (!URL.canParse(url)) {
    return [problem(`"${server}" is no address.`, "Use one like http://localhost:8080.")];
  }
  const before = performance.now();
  const info = await askServer(url);
  if (!info) {
    const remedy = "Start it with `parley serve`, and check its address and the firewall between.";
    return [problem(`No Parley server answers at ${url}.`, remedy)];
  }
  const tookMs = Math.round(performance.now() - before);
  const findings: Finding[] = [
    ok(
      `${url} answers in ${tookMs} ms: ${info.serverName || "a Parley server"}, version ${info.version}`,
    ),
  ];
  const differenceMs = Math.abs(Number(info.serverTime?.seconds ?? 0n) * 1000 - Date.now());
  if (info.serverTime && differenceMs > CLOCK_DIFFERENCE_MS_MAX) {
    const seconds = Math.round(differenceMs / 1000);
    const remedy = "Set both clocks by NTP; tokens depend on them.";
    findings.push(warning(`Its clock differs from this one by ${seconds} seconds.`, remedy));
  }
  return findings;
}

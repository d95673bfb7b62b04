/** deploy/haproxy.cfg, held against the gateways behind it. */
import { readText } from "../tidy/sources.ts";
import { type Compose, processesOf } from "./compose.ts";
import { configOf, isPage, servedBy } from "./settings.ts";

export function checkBalancer(compose: Compose, text: string): string[] {
  const gateways = processesOf(compose).filter((process) => servedBy(process).includes("gateway"));
  const addresses = gateways.map((process) => `${process.name}:${configOf(process).gateway.port}`);
  const backends = text.split(/^backend /m).slice(1);
  const problems = backends.flatMap((backend) => {
    const named = [...backend.matchAll(/^ +server \S+ (\S+)/gm)].map((match) => match[1] ?? "");
    const missing = addresses.filter((address) => !named.includes(address));
    const unknown = named.filter((address) => !addresses.includes(address));
    return [
      ...missing.map((address) => `${address.split(":")[0]} gets nothing`),
      ...unknown.map((address) => `${address} is no gateway`),
    ];
  });
  const page = /^ +option httpchk GET (\S+)/m.exec(text)?.[1];
  if (!isPage(page)) {
    problems.push(`there is no page ${page}`);
  }
  // What names the device in an access token, by which a session's calls come to one gateway.
  const claim = /jwt_payload_query\('\$\.(\w+)'\)/.exec(text)?.[1];
  const signer = readText("services/directory/src/access-token-signer.ts");
  if (!signer.includes(`new SignJWT({ ${claim}: deviceId })`)) {
    problems.push(`access tokens have no claim ${claim}`);
  }
  const { balancer } = compose.services;
  const connections = Number(/^ +maxconn (\d+)/m.exec(text)?.[1]);
  const files = balancer?.ulimits?.nofile ?? 0;
  if (!(files > 2 * connections)) problems.push(`${files} open files are too few`);
  const networks = balancer?.networks ?? {};
  const own = Object.values(networks).map(({ ipv4_address: address }) => address);
  for (const process of gateways) {
    const { trustedProxies } = configOf(process).gateway;
    const trusts = trustedProxies.some((address) => own.includes(address));
    if (!trusts) problems.push(`${process.name} does not believe the balancer`);
  }
  return problems;
}

/** The access that the contract gives each RPC. */
import { createHash, timingSafeEqual } from "node:crypto";
import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { Access, access, method_access } from "@parley/gen/parley/options/v1/access_pb";

/** Services of other projects that carry no option of ours: they say nothing that is not public. */
const FOREIGN: ReadonlyMap<string, Access> = new Map([
  ["grpc.health.v1.Health", Access.PUBLIC],
  ["grpc.reflection.v1.ServerReflection", Access.PUBLIC],
  ["grpc.reflection.v1alpha.ServerReflection", Access.PUBLIC],
]);

const cache = new WeakMap<DescMethod, Access>();

/** The method's own access, else its service's, else `ACCESS_UNSPECIFIED`. */
export function accessOf(method: DescMethod): Access {
  let found = cache.get(method);
  if (found === undefined) {
    found = hasOption(method, method_access)
      ? getOption(method, method_access)
      : (FOREIGN.get(method.parent.typeName) ?? getOption(method.parent, access));
    cache.set(method, found);
  }
  return found;
}

/** Compares two secrets in a time that does not depend on where they differ. */
export function secretsEqual(a: string, b: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** The token of an `authorization: Bearer …` header; undefined when there is none. */
export function bearerToken(authorization: string | null): string | undefined {
  return authorization === null ? undefined : /^Bearer +(\S+)$/i.exec(authorization)?.[1];
}

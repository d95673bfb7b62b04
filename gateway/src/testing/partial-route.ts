/** Routes of services of which a test needs only some RPCs; the others answer as a host without them does. */
import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { defineRoute, type Route } from "@parley/platform/rpc/route";

export function partialRoute<S extends DescService>(
  service: S,
  given: Partial<ServiceImpl<S>>,
): Route {
  const missing = service.methods
    .filter((method) => !Object.hasOwn(given, method.localName))
    .map((method) => [
      method.localName,
      () => {
        throw new ConnectError(`${method.name} is not part of this test`, Code.Unimplemented);
      },
    ]);
  return defineRoute(service, { ...Object.fromEntries(missing), ...given } as ServiceImpl<S>);
}

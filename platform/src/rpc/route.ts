/** A service together with its implementation: what a host serves. */
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  createServiceImplSpec,
  type MethodImplSpec,
  type ServiceImpl,
} from "@connectrpc/connect";

export type Route = {
  readonly service: DescService;
  /** One entry per RPC, by its descriptor. */
  readonly methods: ReadonlyMap<DescMethod, MethodImplSpec>;
  /** Registers the service with a connect router, with its types intact. */
  readonly register: (router: ConnectRouter) => void;
};

export type Routes = readonly Route[];

/** Binds an implementation to its service; every RPC must be there, with the contract's types. */
export function defineRoute<S extends DescService>(
  service: S,
  implementation: ServiceImpl<S>,
): Route {
  const spec = createServiceImplSpec<S>(service, implementation);
  const methods = Object.values(spec.methods).map((method) => [method.method, method] as const);
  return {
    service,
    methods: new Map(methods),
    register: (router) => void router.service(service, implementation),
  };
}

/** Connect and gRPC clients of a gateway under test. */
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";

export type RpcClientOptions = {
  readonly url: string;
  readonly token?: string | undefined;
  readonly protocol?: "connect" | "grpc";
  readonly json?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
};

/** gRPC speaks HTTP/2 with prior knowledge, Connect HTTP/1.1. */
export function rpcClient<S extends DescService>(service: S, options: RpcClientOptions): Client<S> {
  const { url: baseUrl, json = false } = options;
  const withHeaders: Interceptor = (next) => (request) => {
    if (options.token !== undefined) request.header.set("authorization", `Bearer ${options.token}`);
    for (const [name, value] of Object.entries(options.headers ?? {})) {
      request.header.set(name, value);
    }
    return next(request);
  };
  const shared = { baseUrl, useBinaryFormat: !json, interceptors: [withHeaders] };
  const transport =
    options.protocol === "grpc"
      ? createGrpcTransport(shared)
      : createConnectTransport({ ...shared, httpVersion: "1.1" });
  return createClient(service, transport);
}

/** `grpc.reflection`, so that `buf curl` and `grpcurl` need no copy of the contract. */
import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  type ServerReflectionRequest,
  ServerReflection as ServerReflectionV1,
} from "@parley/gen/grpc/reflection/v1/reflection_pb";
import { ServerReflection as ServerReflectionV1Alpha } from "@parley/gen/grpc/reflection/v1alpha/reflection_pb";
import { defineRoute, type Routes } from "./route.ts";

type Answer =
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | {
      case: "allExtensionNumbersResponse";
      value: { baseTypeName: string; extensionNumber: number[] };
    }
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

type Request = ServerReflectionRequest["messageRequest"];

/** Reflection (v1, and v1alpha for older tools) about the given services and itself. */
export function reflectionRoutes(services: readonly DescService[]): Routes {
  const index = createIndex([...services, ServerReflectionV1, ServerReflectionV1Alpha]);
  return [
    defineRoute(ServerReflectionV1, {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) {
          const messageResponse = answer(index, request.messageRequest);
          yield { validHost: request.host, originalRequest: request, messageResponse };
        }
      },
    }),
    defineRoute(ServerReflectionV1Alpha, {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) {
          // The two versions have the same shape; only the package differs.
          const messageResponse = answer(index, request.messageRequest as Request);
          yield { validHost: request.host, originalRequest: request, messageResponse };
        }
      },
    }),
  ];
}

type Index = {
  readonly services: readonly string[];
  readonly files: ReadonlyMap<string, DescFile>;
  /** Fully qualified names of everything that a file declares. */
  readonly symbols: ReadonlyMap<string, DescFile>;
  /** By extended message, then by number. */
  readonly extensions: ReadonlyMap<string, ReadonlyMap<number, DescFile>>;
};

function createIndex(services: readonly DescService[]): Index {
  const files = new Map<string, DescFile>();
  const visit = (file: DescFile) => {
    if (files.has(file.proto.name)) return;
    files.set(file.proto.name, file);
    for (const dependency of file.dependencies) visit(dependency);
  };
  for (const service of services) visit(service.file);

  const symbols = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescFile>>();
  for (const file of files.values()) {
    for (const name of symbolsOf(file)) symbols.set(name, file);
    for (const extension of extensionsOf(file)) {
      const numbers = extensions.get(extension.extendee.typeName) ?? new Map<number, DescFile>();
      numbers.set(extension.number, file);
      extensions.set(extension.extendee.typeName, numbers);
    }
  }
  const names = [...new Set(services.map((service) => service.typeName))].sort();
  return { services: names, files, symbols, extensions };
}

function answer(index: Index, request: Request): Answer {
  switch (request.case) {
    case "listServices":
      return {
        case: "listServicesResponse",
        value: { service: index.services.map((name) => ({ name })) },
      };
    case "fileByFilename":
      return fileAnswer(index.files.get(request.value), request.value);
    case "fileContainingSymbol":
      return fileAnswer(index.symbols.get(request.value), request.value);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = request.value;
      const file = index.extensions.get(containingType)?.get(extensionNumber);
      return fileAnswer(file, `extension ${extensionNumber} of ${containingType}`);
    }
    case "allExtensionNumbersOfType": {
      const numbers = [...(index.extensions.get(request.value)?.keys() ?? [])];
      if (numbers.length === 0 && !index.symbols.has(request.value)) return notFound(request.value);
      return {
        case: "allExtensionNumbersResponse",
        value: { baseTypeName: request.value, extensionNumber: numbers },
      };
    }
    default:
      return {
        case: "errorResponse",
        value: { errorCode: Code.InvalidArgument, errorMessage: "the request asks for nothing" },
      };
  }
}

/** The file with everything it imports, so that a client needs one round trip; each before what it imports. */
function fileAnswer(file: DescFile | undefined, wanted: string): Answer {
  if (file === undefined) return notFound(wanted);
  const visited = new Set<DescFile>();
  const importsFirst: DescFile[] = [];
  const visit = (next: DescFile) => {
    if (visited.has(next)) return;
    visited.add(next);
    for (const dependency of next.dependencies) visit(dependency);
    importsFirst.push(next);
  };
  visit(file);
  const fileDescriptorProto = importsFirst
    .toReversed()
    .map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function notFound(wanted: string): Answer {
  return {
    case: "errorResponse",
    value: { errorCode: Code.NotFound, errorMessage: `${wanted} is not served here` },
  };
}

type Container = Pick<DescFile, "messages" | "enums" | "extensions">;

function* symbolsOf(file: DescFile): Generator<string> {
  for (const service of file.services) {
    yield service.typeName;
    for (const method of service.methods) yield `${service.typeName}.${method.name}`;
  }
  yield* typesOf(file);
}

function* typesOf(container: Container): Generator<string> {
  for (const item of [...container.enums, ...container.extensions]) yield item.typeName;
  for (const message of container.messages) {
    yield message.typeName;
    for (const field of message.fields) yield `${message.typeName}.${field.name}`;
    yield* typesOf(nested(message));
  }
}

function* extensionsOf(container: Container): Generator<DescFile["extensions"][number]> {
  yield* container.extensions;
  for (const message of container.messages) yield* extensionsOf(nested(message));
}

const nested = (message: DescFile["messages"][number]): Container => ({
  messages: message.nestedMessages,
  enums: message.nestedEnums,
  extensions: message.nestedExtensions,
});

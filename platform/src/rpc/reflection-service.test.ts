import assert from "node:assert/strict";
import { test } from "node:test";
import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from "@parley/gen/grpc/reflection/v1/reflection_pb";
import { ServerReflection as ServerReflectionV1Alpha } from "@parley/gen/grpc/reflection/v1alpha/reflection_pb";
import { EchoService } from "@parley/gen/parley/internal/testing/v1/echo_service_pb";
import { createInProcessTransport } from "./in-process-host.ts";
import { reflectionRoutes } from "./reflection-service.ts";

const transport = createInProcessTransport({
  routes: reflectionRoutes([EchoService]),
  interceptors: [],
});

async function ask(
  messageRequest: ServerReflectionRequest["messageRequest"],
): Promise<ServerReflectionResponse["messageResponse"]> {
  async function* requests() {
    yield { messageRequest };
  }
  const client = createClient(ServerReflection, transport);
  for await (const response of client.serverReflectionInfo(requests()))
    return response.messageResponse;
  assert.fail("no answer");
}

/** The files of an answer as a client would load them. */
function load(answer: ServerReflectionResponse["messageResponse"]) {
  assert.equal(answer.case, "fileDescriptorResponse");
  const file = (answer.value as { fileDescriptorProto: Uint8Array[] }).fileDescriptorProto.map(
    (bytes) => fromBinary(FileDescriptorProtoSchema, bytes),
  );
  return createFileRegistry(create(FileDescriptorSetSchema, { file: file.toReversed() }));
}

test("the services are listed, with reflection itself", async () => {
  const answer = await ask({ case: "listServices", value: "" });
  assert.equal(answer.case, "listServicesResponse");
  assert.deepEqual(
    (answer.value as { service: { name: string }[] }).service.map(({ name }) => name),
    [ServerReflection.typeName, ServerReflectionV1Alpha.typeName, EchoService.typeName],
  );
});

const symbols = [
  EchoService.typeName,
  `${EchoService.typeName}.Echo`,
  "parley.internal.testing.v1.Saying",
  "parley.internal.testing.v1.Saying.text",
  "parley.internal.testing.v1.Volume",
  "grpc.reflection.v1.ServerReflection",
];
for (const symbol of symbols) {
  test(`the file of ${symbol} comes with everything that it needs`, async () => {
    load(await ask({ case: "fileContainingSymbol", value: symbol }));
  });
}

test("a client can build the service from what it is told", async () => {
  const registry = load(await ask({ case: "fileContainingSymbol", value: EchoService.typeName }));
  assert.deepEqual(
    registry.getService(EchoService.typeName)?.methods.map(({ name }) => name),
    EchoService.methods.map(({ name }) => name),
  );
  assert.ok(registry.getExtension("parley.options.v1.access"));
});

test("files and extensions can be asked for by name and number", async () => {
  load(await ask({ case: "fileByFilename", value: "parley/options/v1/access.proto" }));
  const containingType = "google.protobuf.MethodOptions";
  load(
    await ask({
      case: "fileContainingExtension",
      value: {
        $typeName: "grpc.reflection.v1.ExtensionRequest",
        containingType,
        extensionNumber: 50102,
      },
    }),
  );
  const numbers = await ask({ case: "allExtensionNumbersOfType", value: containingType });
  assert.deepEqual((numbers.value as { extensionNumber: number[] }).extensionNumber, [50102]);
});

test("what is not served is not found", async () => {
  const questions = [
    { case: "fileContainingSymbol", value: "parley.nobody.v1.Nothing" },
    { case: "fileByFilename", value: "nothing.proto" },
    { case: "allExtensionNumbersOfType", value: "parley.nobody.v1.Nothing" },
  ] as const;
  for (const question of questions) {
    const answer = await ask(question);
    assert.equal(answer.case, "errorResponse");
    assert.equal((answer.value as { errorCode: number }).errorCode, Code.NotFound);
  }
  const nothing = await ask({ case: undefined });
  assert.equal((nothing.value as { errorCode: number }).errorCode, Code.InvalidArgument);
});

test("one stream answers many questions, and the older version answers the same", async () => {
  async function* requests() {
    for (let index = 0; index < 3; index++) {
      yield { host: `h${index}`, messageRequest: { case: "listServices", value: "" } as const };
    }
  }
  const client = createClient(ServerReflectionV1Alpha, transport);
  const hosts: string[] = [];
  for await (const response of client.serverReflectionInfo(requests())) {
    assert.equal(response.messageResponse.case, "listServicesResponse");
    hosts.push(response.validHost);
  }
  assert.deepEqual(hosts, ["h0", "h1", "h2"]);
});

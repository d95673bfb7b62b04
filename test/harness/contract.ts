/** Every service of the generated contract, found in the tree: nothing new escapes a test that walks them. */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { DescFile, DescService } from "@bufbuild/protobuf";
import { listFiles, repositoryRoot } from "../tidy/sources.ts";

const files: DescFile[] = [];
for (const path of listFiles("gen/ts/parley")) {
  if (!path.endsWith("_pb.ts") || path.includes("/testing/")) continue;
  const module = (await import(pathToFileURL(join(repositoryRoot, path)).href)) as Record<
    string,
    unknown
  >;
  for (const value of Object.values(module)) if (isFile(value)) files.push(value);
}

function isFile(value: unknown): value is DescFile {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "file";
}

/** All services of `proto/parley` except those that only tests of the kernel use. */
export function listServices(): DescService[] {
  return files.flatMap((file) => file.services);
}

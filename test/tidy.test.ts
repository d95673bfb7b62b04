// The mechanical half of the style: what a reviewer should never have to say.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  checkAreas,
  checkConsole,
  checkDomainIsPure,
  checkDrivers,
  checkLayers,
  checkProcess,
} from "./tidy/imports.ts";
import { checkPorts } from "./tidy/ports.ts";
import {
  checkFileLengths,
  checkMarkdownLinks,
  checkRpcFiles,
  checkServicesReadme,
  checkUnimported,
  listVariables,
} from "./tidy/shape.ts";
import { readSources, readText } from "./tidy/sources.ts";

const files = readSources();

function clean(problems: readonly string[]): void {
  assert.deepEqual(problems, []);
}

describe("tidy", () => {
  it("imports point one way between packages", () => clean(checkAreas(files)));
  it("imports point one way inside a service", () => clean(checkLayers(files)));
  it("domain code is pure", () => clean(checkDomainIsPure(files)));
  it("drivers appear only in engine/ and embedded/", () => clean(checkDrivers(files)));
  it("process is touched only in main.ts and config.ts", () => clean(checkProcess(files)));
  it("console is used only by the command line", () => clean(checkConsole(files)));
  it("files are short", () => clean(checkFileLengths(files)));
  it("every RPC has a file and its file a test", () => clean(checkRpcFiles(files)));
  it("every port has its adapters and every adapter runs the contract", () =>
    clean(checkPorts(files)));
  it("no file is imported by nothing", () => clean(checkUnimported(files)));
  it("services/README.md names every service", () => clean(checkServicesReadme()));
  it("Markdown links resolve", () => clean(checkMarkdownLinks()));

  it("every variable is documented, and docker-compose.yml sets only variables that exist", () => {
    const variables = listVariables(files);
    assert.ok(variables.length > 20, "the scan finds the variables");
    const operating = readText("docs/operating.md");
    clean(variables.filter((name) => !operating.includes(`\`${name}\``)));
    const composed = [...readText("docker-compose.yml").matchAll(/\bPARLEY_[A-Z0-9_]+\b/g)];
    clean(composed.map((match) => match[0]).filter((name) => !variables.includes(name)));
  });
});

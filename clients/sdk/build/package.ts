/**
 * Makes the package that is published: plain JavaScript with declarations, because Node strips no types below
 * `node_modules`, together with the generated code that it needs, because the contract is no package of its own.
 *
 *     dist/package.json    what npm packs
 *     dist/sdk/…           from src/, without tests
 *     dist/gen/…           what src/ reaches of gen/ts, imported by relative path
 */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const sdk = fileURLToPath(new URL("..", import.meta.url));
const repository = resolve(sdk, "../..");
const generated = join(repository, "gen/ts");

const importPattern = /(from\s+|import\s+|import\()(["'])([^"']+)\2/g;

/** Builds the package into `output`, replacing what is there. */
export async function buildPackage(output: string): Promise<void> {
  const stage = await mkdtemp(join(tmpdir(), "parley-sdk-"));
  try {
    await stageSources(stage);
    await writeFile(join(stage, "package.json"), '{ "type": "module" }\n');
    await writeFile(join(stage, "tsconfig.json"), JSON.stringify(compilerOptions, null, 2));
    await rm(output, { recursive: true, force: true });
    await mkdir(output, { recursive: true });
    await compile(stage, output);
    await mendDeclarations(output);
    await writeFile(join(output, "package.json"), await manifest());
    for (const file of ["README.md", "../../LICENSE"]) {
      await cp(join(sdk, file), join(output, file.split("/").at(-1) ?? file));
    }
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

const compilerOptions = {
  compilerOptions: {
    // Node 20 and browsers of the last years; `using` is not there yet and is compiled away.
    target: "es2022",
    lib: ["es2022", "esnext.disposable", "dom", "dom.iterable"],
    module: "nodenext",
    moduleResolution: "nodenext",
    strict: true,
    declaration: true,
    rewriteRelativeImportExtensions: true,
    verbatimModuleSyntax: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    rootDir: ".",
    types: ["node"],
  },
  include: ["sdk"],
};

/** Copies the sources and what they reach of the generated code, with imports made relative. */
async function stageSources(stage: string): Promise<void> {
  const waiting = (await listSources(join(sdk, "src"))).map((path) => ({
    from: path,
    to: join(stage, "sdk", relative(join(sdk, "src"), path)),
  }));
  const staged = new Set<string>();
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { from, to } = next;
    if (staged.has(to)) continue;
    staged.add(to);
    const text = (await readFile(from, "utf8")).replace(
      importPattern,
      (whole, keyword: string, quote: string, specifier: string) => {
        const target = generatedFile(from, specifier);
        if (!target) return whole;
        const place = join(stage, "gen", relative(generated, target));
        waiting.push({ from: target, to: place });
        const path = relative(dirname(to), place);
        return `${keyword}${quote}${path.startsWith(".") ? path : `./${path}`}${quote}`;
      },
    );
    await mkdir(dirname(to), { recursive: true });
    await writeFile(to, text);
  }
}

/** The generated file that an import means, if it means one. */
function generatedFile(from: string, specifier: string): string | undefined {
  const own = /^@parley\/gen\/(.+)$/.exec(specifier);
  if (own) return join(generated, `${own[1]}.ts`);
  if (!from.startsWith(generated) || !specifier.startsWith(".")) return undefined;
  return resolve(dirname(from), specifier);
}

async function listSources(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .filter(({ name }) => !name.endsWith(".test.ts") && !name.endsWith(".contract.ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes("/testing/"));
}

async function compile(stage: string, output: string): Promise<void> {
  // The compiler looks for packages upwards from the sources.
  await symlink(join(repository, "node_modules"), join(stage, "node_modules"), "dir");
  const compiler = join(repository, "node_modules/.bin/tsc");
  const args = ["-p", join(stage, "tsconfig.json"), "--outDir", output];
  try {
    await promisify(execFile)(compiler, args);
  } catch (error) {
    const text = error instanceof Error && "stdout" in error ? String(error.stdout) : String(error);
    throw new Error(`The compiler refused:\n${text}`, { cause: error });
  }
}

/** The compiler rewrites the extensions of imports in JavaScript only. */
async function mendDeclarations(output: string): Promise<void> {
  for (const entry of await readdir(output, { withFileTypes: true, recursive: true })) {
    if (!entry.name.endsWith(".d.ts")) continue;
    const path = join(entry.parentPath, entry.name);
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace(/(["'])(\.{1,2}\/[^"']+)\.ts\1/g, "$1$2.js$1"));
  }
}

async function manifest(): Promise<string> {
  const source = JSON.parse(await readFile(join(sdk, "package.json"), "utf8"));
  const { name, version, description, license, dependencies } = source;
  const { "@parley/gen": _generated, ...published } = dependencies;
  const entry = (path: string) => ({ types: `./${path}.d.ts`, default: `./${path}.js` });
  return `${JSON.stringify(
    {
      name,
      version,
      description,
      license,
      type: "module",
      engines: { node: ">=20" },
      sideEffects: false,
      exports: {
        ".": entry("sdk/index"),
        "./node/file-storage": entry("sdk/node/file-storage"),
        "./gen/*": entry("gen/*"),
      },
      dependencies: published,
    },
    null,
    2,
  )}\n`;
}

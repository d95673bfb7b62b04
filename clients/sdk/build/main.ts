/** `npm run build`: makes the package to publish in `dist/`. */
import { fileURLToPath } from "node:url";
import { buildPackage } from "./package.ts";

await buildPackage(fileURLToPath(new URL("../dist", import.meta.url)));

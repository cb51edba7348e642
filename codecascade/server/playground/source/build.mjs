// Bundles the page: node build.mjs OUT. `make playground` calls it.
//
// Every built file names the hash of the sources that it was built from, so that a test can tell whether the two
// belong together. esbuild's output depends on nothing but its input and its version, which the lock file holds.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { build } from "esbuild";

const out = process.argv[2];
if (!out) throw new Error("usage: node build.mjs OUT");

const hash = hashOfSources();
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const bundle = await build({
  entryPoints: { playground: "src/main.ts", theme: "src/early_theme.ts" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  banner: { js: comment() },
  metafile: true,
  logLevel: "warning",
});
await build({
  entryPoints: { playground: "src/playground.css" },
  outdir: out,
  bundle: true,
  minify: true,
  charset: "utf8",
  banner: { css: comment() },
  logLevel: "warning",
});
const page = readFileSync("index.html", "utf8");
writeFileSync(join(out, "index.html"), page.replace("<head>", `<head>\n    <!-- sources: sha256 ${hash} -->`));
writeFileSync(join(out, "icon.svg"), readFileSync("icon.svg", "utf8"));
writeFileSync(join(out, "licences.txt"), licences(Object.keys(bundle.metafile.inputs)));

function comment() {
  return `/* codecascade's playground; licences.txt has the licences of what is in it. sources: sha256 ${hash} */`;
}

/** The SHA-256 of all sources: for each, in the order of its path, the path, a zero byte, the content, a zero byte. */
function hashOfSources() {
  const digest = createHash("sha256");
  for (const path of sources(".").sort()) {
    digest.update(path).update("\0").update(readFileSync(path)).update("\0");
  }
  return digest.digest("hex");
}

function sources(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.name === "node_modules") return [];
    return entry.isDirectory() ? sources(path) : [relative(".", path)];
  });
}

/** The licence texts of the packages that the bundle holds a part of. */
function licences(inputs) {
  const names = new Set();
  for (const input of inputs) {
    const match = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) names.add(match[1]);
  }
  const parts = [...names].sort().map((name) => {
    const folder = dirname(join("node_modules", name, "package.json"));
    const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = ["LICENSE", "LICENSE.md", "LICENCE", "license"].map((each) => join(folder, each)).find(existsSync);
    if (!file) throw new Error(`${name} comes without a licence text`);
    const text = readFileSync(file, "utf8").replaceAll("\r\n", "\n").trim();
    return `${name} ${about.version} (${about.license})\n\n${text}\n`;
  });
  const rule = `\n${"-".repeat(80)}\n\n`;
  return `The playground's script holds parts of these packages. sources: sha256 ${hash}\n${rule}${parts.join(rule)}`;
}

// The languages of the editor, each with an example in which something is missing at the cursor.
import { cpp } from "@codemirror/lang-cpp";
import { go } from "@codemirror/lang-go";
import { java } from "@codemirror/lang-java";
import { javascript } from "@codemirror/lang-javascript";
import { python } from "@codemirror/lang-python";
import { rust } from "@codemirror/lang-rust";
import { indentUnit, StreamLanguage } from "@codemirror/language";
import { csharp } from "@codemirror/legacy-modes/mode/clike";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import type { Extension } from "@codemirror/state";
import { CURSOR, EXAMPLES } from "./examples";

export interface Language {
  /** As the server calls it. */
  id: string;
  name: string;
  support: Extension;
  example: string;
  /** What fenced blocks call it. */
  aliases: string[];
}

const four = indentUnit.of("    ");
const two = indentUnit.of("  ");
const tab = indentUnit.of("\t");

export const LANGUAGES: Language[] = [
  language("python", "Python", [python(), four], ["py", "python3"]),
  language("javascript", "JavaScript", [javascript(), two], ["js", "jsx", "node"]),
  language("typescript", "TypeScript", [javascript({ typescript: true }), two], ["ts", "tsx"]),
  language("java", "Java", [java(), four], []),
  language("c", "C", [cpp(), four], ["h"]),
  language("cpp", "C++", [cpp(), four], ["c++", "cc", "hpp"]),
  language("csharp", "C#", [StreamLanguage.define(csharp), four], ["cs", "c#"]),
  language("go", "Go", [go(), tab], ["golang"]),
  language("rust", "Rust", [rust(), four], ["rs"]),
  language("bash", "Bash", [StreamLanguage.define(shell), two], ["sh", "shell", "console", "zsh"]),
];

function language(id: string, name: string, support: Extension, aliases: string[]): Language {
  return { id, name, support, example: EXAMPLES[id] ?? CURSOR, aliases };
}

/** A language by its own name or one that fenced blocks use; Python where it isn't known. */
export function languageOf(id: string): Language {
  return named(id) ?? LANGUAGES[0]!;
}

export function named(id: string): Language | undefined {
  const wanted = id.toLowerCase();
  return LANGUAGES.find((each) => each.id === wanted || each.aliases.includes(wanted));
}

// Colours of code: classes, whose colours playground.css has for both themes.
import { Language, LanguageSupport, syntaxHighlighting } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { classHighlighter, highlightCode } from "@lezer/highlight";
import { named } from "./languages";

export const colours: Extension = syntaxHighlighting(classHighlighter);

/** Fill an element with code in colours; without them where the language is not known. */
export function colourCode(target: HTMLElement, code: string, name: string): void {
  const parser = parserOf(named(name)?.support);
  if (!parser || code.length > 50_000) {
    target.textContent = code;
    return;
  }
  highlightCode(
    code,
    parser.parse(code),
    classHighlighter,
    (text, classes) => {
      if (!classes) {
        target.append(text);
        return;
      }
      const span = document.createElement("span");
      span.className = classes;
      span.textContent = text;
      target.append(span);
    },
    () => target.append("\n"),
  );
}

function parserOf(support: Extension | undefined): Language["parser"] | null {
  for (const part of Array.isArray(support) ? support : [support]) {
    if (part instanceof LanguageSupport) return part.language.parser;
    if (part instanceof Language) return part.parser;
  }
  return null;
}

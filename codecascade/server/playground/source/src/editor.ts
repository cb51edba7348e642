// The editor: CodeMirror with the languages, the page's colours and ghost text.
import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, indentOnInput } from "@codemirror/language";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { ghostText } from "./ghost";
import { colours } from "./highlight";
import { CURSOR } from "./examples";
import { languageOf } from "./languages";

const language = new Compartment();

/** The page's colours, which are variables, so that they change with the theme. */
const theme = EditorView.theme({
  "&": { height: "100%", backgroundColor: "transparent", color: "var(--text)", fontSize: "14px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { padding: "14px 0", caretColor: "var(--accent)" },
  ".cm-line": { padding: "0 20px 0 10px" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--faint)", border: "none", paddingLeft: "10px" },
  ".cm-activeLine": { backgroundColor: "var(--line)" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--text)" },
  ".cm-cursor, .cm-dropCursor": { borderLeft: "2px solid var(--accent)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  ".cm-selectionMatch": { backgroundColor: "var(--match)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--match)", outline: "1px solid var(--border)" },
  "&.cm-focused .cm-nonmatchingBracket": { backgroundColor: "transparent", color: "var(--error)" },
  ".cm-panels": { backgroundColor: "var(--panel)", color: "var(--text)", borderColor: "var(--border)" },
  ".cm-panel.cm-search": { padding: "8px 40px 8px 14px" },
  ".cm-panel.cm-search label": { fontSize: "13px", color: "var(--soft)" },
  ".cm-panel.cm-search [name=close]": { top: "8px", right: "12px", fontSize: "18px", color: "var(--soft)" },
  ".cm-textfield, .cm-button": {
    backgroundColor: "var(--panel)",
    backgroundImage: "none",
    border: "1px solid var(--control)",
    borderRadius: "6px",
    fontSize: "13px",
    padding: "2px 8px",
  },
  ".cm-button:active": { backgroundImage: "none" },
});

export function createEditor(parent: HTMLElement, id: string, nonce: string, suggestions: Extension): EditorView {
  const { text, cursor } = exampleOf(id);
  return new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      selection: { anchor: cursor },
      extensions: [
        EditorView.cspNonce.of(nonce),
        ghostText(),
        suggestions,
        lineNumbers(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        drawSelection(),
        history(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        search({ top: true }),
        highlightSelectionMatches(),
        keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, indentWithTab]),
        EditorState.tabSize.of(4),
        EditorView.contentAttributes.of({ "aria-label": "Code", spellcheck: "false", autocapitalize: "off" }),
        language.of(languageOf(id).support),
        colours,
        theme,
      ],
    }),
  });
}

/** Change the language; a text that is still an example becomes the new language's. */
export function setLanguage(view: EditorView, from: string, to: string): void {
  const untouched = view.state.doc.toString() === exampleOf(from).text;
  view.dispatch({ effects: language.reconfigure(languageOf(to).support) });
  if (untouched) showExample(view, to);
}

export function showExample(view: EditorView, id: string): void {
  const { text, cursor } = exampleOf(id);
  view.dispatch({
    changes: { from: 0, to: view.state.doc.length, insert: text },
    selection: { anchor: cursor },
    scrollIntoView: true,
  });
}

function exampleOf(id: string): { text: string; cursor: number } {
  const { example } = languageOf(id);
  const cursor = example.indexOf(CURSOR);
  return { text: example.slice(0, cursor) + example.slice(cursor + 1), cursor };
}

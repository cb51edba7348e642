// The page: an editor that the model fills in, and a chat.
import type { EditorView } from "@codemirror/view";
import type { Gap, Model, ServerError } from "./api";
import { Chat } from "./chat";
import { Connection } from "./connection";
import { bindControls, boundTokens, offerFormats } from "./controls";
import { byId } from "./dom";
import { createEditor, setLanguage, showExample } from "./editor";
import { settings } from "./settings";
import { showProgress } from "./status";
import { suggestions } from "./suggest";
import { bindTabs } from "./tabs";
import { bindTheme } from "./theme";

let model: Model | null = null;
let opened = false;

const nonce = document.querySelector<HTMLMetaElement>("meta[name=style-nonce]")?.content ?? "";
const connection = new Connection(onModel);

const { extension, ask } = suggestions({
  gap(prefix, suffix): Gap | null {
    if (model && !model.canInfill) return null;
    const { language, extent, format, temperature, maxTokens } = settings;
    return { prefix, suffix, language, extent, format, temperature, maxTokens };
  },
  automatic: () => settings.automatic && model?.canInfill !== false,
  onProgress(progress) {
    if (model?.canInfill === false) return;
    showProgress(progress);
    if (progress.state === "failed") connection.report(progress.error);
  },
});

bindControls((from, to) => setLanguage(view, from, to));
const view: EditorView = createEditor(byId("code"), settings.language, nonce, extension);
const show = bindTabs((name) => (name === "chat" ? chat.focus() : view.focus()));
const chat = new Chat({ insert }, (error: ServerError) => connection.report(error), (text) => {
  byId("chat-figures").textContent = text;
});

offerFormats([]);
showKeys();
bindTheme(byId<HTMLButtonElement>("theme"));
byId("suggest").addEventListener("click", () => {
  view.focus();
  ask(view);
});
byId("example").addEventListener("click", () => {
  showExample(view, settings.language);
  view.focus();
});
showProgress({ state: "idle" });
void connection.open();

function onModel(found: Model): void {
  model = found;
  byId("model").textContent = found.name;
  byId("model").title = found.name;
  byId("context").textContent = found.context ? `${found.context.toLocaleString("en")} tokens` : "";
  offerFormats(found.formats);
  boundTokens(found.context);
  byId("no-infilling").hidden = found.canInfill;
  byId("no-chat").hidden = found.canChat;
  byId<HTMLButtonElement>("suggest").disabled = !found.canInfill;
  byId<HTMLFieldSetElement>("ask").disabled = !found.canChat;
  byId<HTMLFieldSetElement>("editor-controls").disabled = !found.canInfill;
  if (!found.canInfill) byId("state").textContent = "No suggestions: the model was not trained for infilling";
  // A page that was just opened shows what the model can do; one that is in use keeps its tab.
  if (!opened && !found.canInfill && found.canChat) show("chat");
  else if (!opened) view.focus();
  opened = true;
}

/** A Mac's keys have other names. */
function showKeys(): void {
  if (!/Mac|iP(hone|ad)/.test(navigator.platform)) return;
  const names: Record<string, string> = { Ctrl: "⌘", Alt: "⌥" };
  for (const key of document.querySelectorAll("kbd")) key.textContent = names[key.textContent!] ?? key.textContent;
}

/** Put code from the chat at the editor's cursor. */
function insert(code: string): void {
  show("editor");
  view.dispatch(view.state.replaceSelection(code));
  view.focus();
}

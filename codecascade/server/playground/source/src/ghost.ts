// Ghost text: what the model would write at the cursor, shown but not yet in the document.
//
// State and keys only; `suggest.ts` asks the server. While the typed text agrees with the ghost, the ghost is kept and
// shortened; any other change takes it away.
import {
  EditorState,
  Facet,
  Prec,
  StateEffect,
  StateField,
  Transaction,
  type Extension,
} from "@codemirror/state";
import { Decoration, EditorView, keymap, WidgetType, type DecorationSet } from "@codemirror/view";

export interface Ghost {
  position: number;
  text: string;
}

/** Show a ghost; null takes it away. */
export const showGhost = StateEffect.define<Ghost | null>();

/** Called when a person dismisses a ghost, or the wait for one; tells whether there was anything to dismiss. */
export const onDismiss = Facet.define<(view: EditorView) => boolean>();

export const ghostField = StateField.define<Ghost | null>({
  create: () => null,
  update(ghost, transaction) {
    for (const effect of transaction.effects) if (effect.is(showGhost)) return effect.value;
    if (!ghost) return null;
    if (transaction.docChanged) return afterTyping(ghost, transaction);
    const { main } = transaction.newSelection;
    return main.empty && main.head === ghost.position ? ghost : null;
  },
  provide: (field) => EditorView.decorations.from(field, decorated),
});

export function ghostOf(state: EditorState): Ghost | null {
  return state.field(ghostField);
}

/** What is left of a ghost when its beginning was typed; null where something else was. */
function afterTyping(ghost: Ghost, transaction: Transaction): Ghost | null {
  const typed = insertedAt(ghost.position, transaction);
  if (typed === null || !ghost.text.startsWith(typed)) return null;
  const text = ghost.text.slice(typed.length);
  const position = ghost.position + typed.length;
  return text && transaction.newSelection.main.head === position ? { position, text } : null;
}

/** The text that a transaction puts at a position; null where it changes anything else. */
function insertedAt(position: number, transaction: Transaction): string | null {
  let inserted: string | null = null;
  let changes = 0;
  transaction.changes.iterChanges((from, to, _newFrom, _newTo, text) => {
    changes += 1;
    if (from === to && from === position) inserted = text.toString();
  });
  return changes === 1 ? inserted : null;
}

/**
 * While the ghost's beginning is typed, the editor adds no closing brackets or quotes behind the cursor: where the text
 * goes on, the ghost tells, which has its own.
 */
const onlyWhatWasTyped = EditorState.transactionFilter.of((transaction) => {
  const ghost = transaction.docChanged ? ghostOf(transaction.startState) : null;
  const inserted = ghost && insertedAt(ghost.position, transaction);
  if (!ghost || !inserted) return transaction;
  const typed = inserted.slice(0, Math.max(0, transaction.newSelection.main.head - ghost.position));
  if (!typed || typed === inserted || !ghost.text.startsWith(typed)) return transaction;
  return {
    changes: { from: ghost.position, insert: typed },
    selection: { anchor: ghost.position + typed.length },
    userEvent: transaction.annotation(Transaction.userEvent),
    scrollIntoView: true,
  };
});

class GhostWidget extends WidgetType {
  constructor(readonly text: string) {
    super();
  }

  override eq(other: GhostWidget): boolean {
    return other.text === this.text;
  }

  toDOM(): HTMLElement {
    const span = document.createElement("span");
    span.className = "ghost";
    span.setAttribute("aria-hidden", "true");
    span.textContent = this.text;
    return span;
  }

  override get lineBreaks(): number {
    return this.text.split("\n").length - 1;
  }

  override ignoreEvent(): boolean {
    return false;
  }
}

function decorated(ghost: Ghost | null): DecorationSet {
  if (!ghost?.text) return Decoration.none;
  const widget = Decoration.widget({ widget: new GhostWidget(ghost.text), side: 1 });
  return Decoration.set([widget.range(ghost.position)]);
}

/** Put the ghost into the document. */
export function acceptGhost(view: EditorView): boolean {
  return accept(view, (text) => text.length);
}

/** Put the ghost's next word into the document. */
export function acceptWord(view: EditorView): boolean {
  return accept(view, (text) => /^\s*(?:\w+|[^\w\s]+)?/.exec(text)![0].length || text.length);
}

function accept(view: EditorView, length: (text: string) => number): boolean {
  const ghost = ghostOf(view.state);
  if (!ghost?.text || view.state.readOnly) return false;
  const taken = ghost.text.slice(0, length(ghost.text));
  const position = ghost.position + taken.length;
  const rest = ghost.text.slice(taken.length);
  view.dispatch({
    changes: { from: ghost.position, insert: taken },
    selection: { anchor: position },
    effects: showGhost.of(rest ? { position, text: rest } : null),
    userEvent: "input.complete",
    scrollIntoView: true,
  });
  return true;
}

function dismiss(view: EditorView): boolean {
  return view.state.facet(onDismiss).some((handler) => handler(view));
}

export function ghostText(): Extension {
  return [
    ghostField,
    onlyWhatWasTyped,
    Prec.highest(
      keymap.of([
        { key: "Tab", run: acceptGhost },
        { key: "Mod-ArrowRight", run: acceptWord },
        { key: "Escape", run: dismiss },
      ]),
    ),
  ];
}

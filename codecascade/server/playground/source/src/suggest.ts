// Asks the server for what stands at the cursor while a person types, and shows it as ghost text as it comes.
import { type Extension } from "@codemirror/state";
import { EditorView, keymap, ViewPlugin, type ViewUpdate } from "@codemirror/view";
import { infill, ServerError, type Gap, type Timings } from "./api";
import { ghostOf, onDismiss, showGhost } from "./ghost";

/** What goes on, for the status line. */
export type Progress =
  | { state: "idle" }
  | { state: "waiting" }
  | { state: "writing"; firstSeconds: number }
  | { state: "shown"; firstSeconds: number; seconds: number; timings: Timings }
  | { state: "nothing"; seconds: number; timings: Timings }
  | { state: "failed"; error: ServerError };

export interface Options {
  /** What to ask for; null where nothing is to be asked. */
  gap(prefix: string, suffix: string): Gap | null;
  automatic(): boolean;
  onProgress(progress: Progress): void;
}

/** Milliseconds without typing after which a request is sent. */
const PAUSE = 250;

export class Suggestions {
  private timer = 0;
  private running: AbortController | null = null;
  /**
   * What came of the last request, with the ends of lines that the document has; where in the document it belongs, and
   * how many characters stood behind.
   */
  private written = "";
  private start = 0;
  private after = 0;

  constructor(
    private readonly view: EditorView,
    private readonly options: Options,
  ) {}

  update(update: ViewUpdate): void {
    if (!update.docChanged && !update.selectionSet) return;
    const goesOn = this.running !== null || ghostOf(update.state) !== null;
    if (goesOn && (update.docChanged ? this.agrees(update) : !this.moved(update))) return;
    this.cancel();
    if (update.docChanged && isTyping(update) && this.options.automatic()) this.later();
    else this.options.onProgress({ state: "idle" });
  }

  /** Ask now. */
  ask(): boolean {
    this.cancel();
    void this.run();
    return true;
  }

  /** Stop what runs and take the ghost away; whether there was either. */
  dismiss(): boolean {
    const busy = this.cancel();
    const shown = ghostOf(this.view.state) !== null;
    if (shown) this.view.dispatch({ effects: showGhost.of(null) });
    if (busy || shown) this.options.onProgress({ state: "idle" });
    return busy || shown;
  }

  destroy(): void {
    this.cancel();
  }

  /** Whether what was typed or accepted is the beginning of what the model writes, so that it may go on. */
  private agrees(update: ViewUpdate): boolean {
    const { state } = update;
    const head = state.selection.main.head;
    return (
      head >= update.startState.selection.main.head &&
      state.doc.length - head === this.after &&
      !update.changes.touchesRange(0, this.start - 1) &&
      this.written.startsWith(state.sliceDoc(this.start, head))
    );
  }

  private moved(update: ViewUpdate): boolean {
    return !update.state.selection.eq(update.startState.selection);
  }

  private later(): void {
    this.options.onProgress({ state: "waiting" });
    this.timer = window.setTimeout(() => void this.run(), PAUSE);
  }

  private cancel(): boolean {
    const busy = this.timer !== 0 || this.running !== null;
    window.clearTimeout(this.timer);
    this.timer = 0;
    this.running?.abort();
    this.running = null;
    return busy;
  }

  private async run(): Promise<void> {
    this.timer = 0;
    // A character that is being composed must not be disturbed.
    if (this.view.composing) return this.later();
    const { state } = this.view;
    const { main } = state.selection;
    const document = state.doc.toString();
    const gap = main.empty ? this.options.gap(document.slice(0, main.head), document.slice(main.head)) : null;
    if (!gap) {
      this.options.onProgress({ state: "idle" });
      return;
    }
    const controller = new AbortController();
    this.running = controller;
    this.written = "";
    this.start = main.head;
    this.after = state.doc.length - main.head;
    const began = performance.now();
    let firstSeconds = 0;
    let came = "";
    this.options.onProgress({ state: "waiting" });
    try {
      const timings = await infill(
        gap,
        (piece) => {
          if (controller.signal.aborted) return;
          firstSeconds ||= (performance.now() - began) / 1000;
          came += piece;
          // A return at the end may be the first half of an end of a line.
          this.written = withLineFeeds(came.endsWith("\r") ? came.slice(0, -1) : came);
          this.show();
          this.options.onProgress({ state: "writing", firstSeconds });
        },
        controller.signal,
      );
      if (controller.signal.aborted) return;
      this.running = null;
      if (came.endsWith("\r")) {
        this.written = withLineFeeds(came);
        this.show();
      }
      const seconds = (performance.now() - began) / 1000;
      if (this.written) this.options.onProgress({ state: "shown", firstSeconds, seconds, timings });
      else this.options.onProgress({ state: "nothing", seconds, timings });
    } catch (error) {
      if (controller.signal.aborted) return;
      this.running = null;
      if (!(error instanceof ServerError)) throw error;
      this.options.onProgress({ state: "failed", error });
    }
  }

  /** The part of what came that stands behind the cursor. */
  private show(): void {
    const position = this.view.state.selection.main.head;
    const text = this.written.slice(position - this.start);
    this.view.dispatch({ effects: showGhost.of(text ? { position, text } : null) });
  }
}

/** A text as CodeMirror's documents hold it, in which each end of a line is one character. */
function withLineFeeds(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}

function isTyping(update: ViewUpdate): boolean {
  return update.transactions.some(
    (each) =>
      each.isUserEvent("input") || each.isUserEvent("delete") || each.isUserEvent("undo") || each.isUserEvent("redo"),
  );
}

export function suggestions(options: Options): { extension: Extension; ask(view: EditorView): boolean } {
  const plugin = ViewPlugin.define((view) => new Suggestions(view, options));
  const ask = (view: EditorView) => view.plugin(plugin)?.ask() ?? false;
  return {
    ask,
    extension: [
      plugin,
      onDismiss.of((view) => view.plugin(plugin)?.dismiss() ?? false),
      keymap.of([
        { key: "Alt-\\", run: ask },
        { key: "Ctrl-Space", run: ask },
      ]),
    ],
  };
}

// The chat: a dialogue whose replies come word by word.
import { chat, ServerError, type ChatMessage } from "./api";
import { announce, byId, element } from "./dom";
import { Markdown, type CodeActions } from "./markdown";
import { settings } from "./settings";

export class Chat {
  private messages: ChatMessage[] = [];
  private running: AbortController | null = null;
  private readonly log = byId("messages");
  private readonly input = byId<HTMLTextAreaElement>("question");
  private readonly send = byId<HTMLButtonElement>("send");
  private readonly stop = byId<HTMLButtonElement>("stop");
  private readonly clear = byId<HTMLButtonElement>("clear");
  private readonly empty = byId("no-messages");

  constructor(
    private readonly actions: CodeActions,
    private readonly onTrouble: (error: ServerError) => void,
    private readonly onSpeed: (text: string) => void,
  ) {
    byId<HTMLFormElement>("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask(this.input.value);
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.ask(this.input.value);
      }
    });
    this.input.addEventListener("input", () => this.fit());
    this.stop.addEventListener("click", () => this.running?.abort());
    this.clear.addEventListener("click", () => this.reset());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.running && !byId("chat").hidden) this.running.abort();
    });
    for (const example of this.empty.querySelectorAll("button")) {
      example.addEventListener("click", () => this.ask(example.textContent ?? ""));
    }
    this.show();
  }

  focus(): void {
    this.input.focus();
  }

  ask(question: string): void {
    if (!question.trim() || this.running) return;
    this.input.value = "";
    this.fit();
    // Whoever asks on leaves what failed as it is: only the last reply can be said anew.
    for (const button of this.log.querySelectorAll("button.again")) button.remove();
    this.messages.push({ role: "user", content: question });
    this.add("user").textContent = question;
    void this.reply();
  }

  private async reply(): Promise<void> {
    const controller = new AbortController();
    // A new chat has another list.
    const { messages } = this;
    this.running = controller;
    this.show();
    const body = this.add("assistant");
    body.classList.add("writing");
    const markdown = new Markdown(body, this.actions);
    const began = performance.now();
    let first = 0;
    let text = "";
    let pieces = 0;
    let frame = 0;
    const draw = () => {
      frame = 0;
      const follow = this.isAtEnd();
      markdown.show(text);
      if (follow) this.toEnd();
    };
    const system: ChatMessage[] = settings.system.trim()
      ? [{ role: "system", content: settings.system }]
      : [];
    const options = { temperature: settings.chatTemperature, maxTokens: settings.chatMaxTokens };
    this.onSpeed("Waiting for the first word");
    try {
      const reply = await chat(
        [...system, ...messages],
        options,
        (piece) => {
          first ||= performance.now();
          text += piece;
          pieces += 1;
          frame ||= requestAnimationFrame(draw);
          this.onSpeed(speed(pieces, first - began, performance.now() - first));
        },
        controller.signal,
      );
      this.onSpeed(speed(reply.tokens || pieces, first - began, performance.now() - first));
      if (reply.finish === "length") this.note(body, "Cut at the most tokens.");
      announce("The reply is complete.");
    } catch (error) {
      if (controller.signal.aborted) {
        this.note(body, "Stopped.");
        this.onSpeed("Stopped");
      } else if (error instanceof ServerError) {
        this.onSpeed("");
        this.failed(body, error);
      } else throw error;
    } finally {
      cancelAnimationFrame(frame);
      draw();
      body.classList.remove("writing");
      // Also one that has no words, as when it was stopped before the first: chat formats want turns to alternate.
      messages.push({ role: "assistant", content: text });
      this.running = null;
      this.show();
    }
  }

  /** Say what went wrong, and offer to ask again. */
  private failed(body: HTMLElement, error: ServerError): void {
    this.onTrouble(error);
    const again = element("button", { type: "button", class: "small again" }, "Try again");
    const message = body.parentElement!;
    again.addEventListener("click", () => {
      if (this.running) return;
      message.remove();
      // What came of the reply before it broke off is said anew; it is the last, or the button would be gone.
      this.messages.pop();
      void this.reply();
    });
    message.append(element("p", { class: "note error", role: "alert" }, `${error.message} `, again));
    this.toEnd();
  }

  private note(body: HTMLElement, text: string): void {
    body.parentElement!.append(element("p", { class: "note" }, text));
  }

  private add(role: "user" | "assistant"): HTMLElement {
    const body = element("div", { class: "body" });
    const who = element("h2", {}, role === "user" ? "You" : "Model");
    this.log.append(element("article", { class: `message ${role}` }, who, body));
    this.empty.hidden = true;
    this.toEnd();
    return body;
  }

  private reset(): void {
    this.running?.abort();
    this.messages = [];
    for (const message of this.log.querySelectorAll("article")) message.remove();
    this.empty.hidden = false;
    this.onSpeed("");
    this.input.focus();
    this.show();
  }

  private show(): void {
    this.send.hidden = this.running !== null;
    this.stop.hidden = this.running === null;
    this.clear.disabled = this.messages.length === 0;
  }

  private fit(): void {
    this.input.rows = Math.min(8, this.input.value.split("\n").length);
  }

  private isAtEnd(): boolean {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 60;
  }

  private toEnd(): void {
    this.log.scrollTop = this.log.scrollHeight;
  }
}

function speed(tokens: number, first: number, milliseconds: number): string {
  const rate = tokens > 1 && milliseconds > 0 ? ` · ${(((tokens - 1) * 1000) / milliseconds).toFixed(1)} tokens/s` : "";
  return `First word after ${Math.round(first)} ms · ${tokens} tokens${rate}`;
}

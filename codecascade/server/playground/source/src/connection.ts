// Whether the server is there, wants a key, and what its model can do.
import { describeModel, isHealthy, ServerError, type Model } from "./api";
import { byId } from "./dom";
import { apiKey, setApiKey } from "./settings";

/** Milliseconds between two looks for a server that is gone. */
const AGAIN = 2000;

export class Connection {
  private readonly banner = byId("banner");
  private readonly dot = byId("status");
  private readonly keyForm = byId<HTMLFormElement>("key-form");
  private readonly keyInput = byId<HTMLInputElement>("key");
  private timer = 0;

  constructor(private readonly onModel: (model: Model) => void) {
    this.keyForm.addEventListener("submit", (event) => {
      event.preventDefault();
      setApiKey(this.keyInput.value.trim());
      void this.open();
    });
    byId("forget").addEventListener("click", () => {
      setApiKey("");
      this.keyInput.value = "";
      void this.open();
    });
  }

  /** Ask the server what it has, and show it. */
  async open(): Promise<void> {
    window.clearTimeout(this.timer);
    try {
      const model = await describeModel();
      this.say("");
      this.dot.dataset.state = "ready";
      this.dot.title = "The server is ready";
      byId("forget").hidden = !apiKey();
      this.keyForm.hidden = true;
      this.onModel(model);
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      this.report(error);
    }
  }

  /** Show what concerns the whole page; the rest is the caller's to show. */
  report(error: ServerError): void {
    if (error.trouble === "key") {
      this.dot.dataset.state = "gone";
      this.dot.title = "The server wants a key";
      byId("model").textContent = "Not connected";
      this.keyForm.hidden = false;
      this.say(apiKey() ? "The server does not take this key." : "This server wants an API key.");
      this.keyInput.focus();
    } else if (error.trouble === "gone" || error.trouble === "closing") {
      this.dot.dataset.state = "gone";
      this.dot.title = "The server does not answer";
      if (byId("model").textContent === "Connecting") byId("model").textContent = "Not connected";
      this.say(
        error.trouble === "gone"
          ? "The server does not answer. Is “codecascade serve” still running? This page looks for it every two seconds."
          : `${error.message}. This page looks for it every two seconds.`,
      );
      this.later();
    } else if (error.trouble === "refused" || error.trouble === "broken") {
      // Only where the page can't begin; a request's own fault is shown where it was made.
      if (this.dot.dataset.state !== "ready") this.say(error.message);
    }
  }

  private later(): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(async () => {
      if (await isHealthy()) void this.open();
      else this.later();
    }, AGAIN);
  }

  private say(text: string): void {
    byId("banner-text").textContent = text;
    this.banner.hidden = text === "";
  }
}

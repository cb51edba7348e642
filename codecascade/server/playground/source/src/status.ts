// The line under the editor: what goes on, and the last suggestion's figures.
import type { Timings } from "./api";
import { announce, byId } from "./dom";
import type { Progress } from "./suggest";

export function showProgress(progress: Progress): void {
  const state = byId("state");
  state.dataset.state = progress.state;
  switch (progress.state) {
    case "idle":
      state.textContent = "Type, or press Alt+\\ for a suggestion";
      break;
    case "waiting":
      state.textContent = "Waiting for the model";
      break;
    case "writing":
      state.textContent = "Writing. Tab accepts, Esc stops";
      byId("figures").textContent = `First text ${milliseconds(progress.firstSeconds)}`;
      break;
    case "shown":
      state.textContent = "Tab accepts, Esc dismisses";
      byId("figures").textContent = figures(progress.seconds, progress.timings, progress.firstSeconds);
      announce("There is a suggestion. Tab accepts it, Escape dismisses it.");
      break;
    case "nothing":
      state.textContent = "The model has nothing to add here";
      byId("figures").textContent = figures(progress.seconds, progress.timings);
      break;
    case "failed":
      state.textContent = said(progress.error.trouble, progress.error.message);
      break;
  }
}

function said(trouble: string, message: string): string {
  if (trouble === "busy") return "The server is busy; go on typing, or press Alt+\\ to try again";
  return message;
}

function figures(seconds: number, timings: Timings, first?: number): string {
  const parts = first === undefined ? [] : [`First text ${milliseconds(first)}`];
  parts.push(`all ${milliseconds(seconds)}`, `${timings.tokens} tokens`);
  if (timings.tokensPerSecond) parts.push(`${timings.tokensPerSecond.toFixed(1)} tokens/s`);
  if (timings.promptTokens) {
    const cached = timings.cachedTokens ? `, ${timings.cachedTokens} cached` : "";
    parts.push(`prompt ${timings.promptTokens} tokens${cached}${timings.truncated ? ", cut to the context" : ""}`);
  }
  return parts.join(" · ");
}

function milliseconds(seconds: number): string {
  return seconds < 10 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

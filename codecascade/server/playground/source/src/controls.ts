// The settings at the side of the editor and of the chat.
import { byId, element } from "./dom";
import { LANGUAGES } from "./languages";
import { change, settings, type Extent } from "./settings";

/** Fill and bind all controls; `onLanguage` is told the old and the new one. */
export function bindControls(onLanguage: (from: string, to: string) => void): void {
  const language = byId<HTMLSelectElement>("language");
  language.append(...LANGUAGES.map(({ id, name }) => element("option", { value: id }, name)));
  if (!LANGUAGES.some(({ id }) => id === settings.language)) change("language", "python");
  language.value = settings.language;
  language.addEventListener("change", () => {
    const from = settings.language;
    change("language", language.value);
    onLanguage(from, language.value);
  });

  const automatic = byId<HTMLInputElement>("automatic");
  automatic.checked = settings.automatic;
  automatic.addEventListener("change", () => change("automatic", automatic.checked));

  for (const radio of document.querySelectorAll<HTMLInputElement>("input[name=extent]")) {
    radio.checked = radio.value === settings.extent;
    radio.addEventListener("change", () => change("extent", radio.value as Extent));
  }

  bindRange("temperature", "temperature");
  bindRange("chat-temperature", "chatTemperature");
  bindNumber("max-tokens", "maxTokens");
  bindNumber("chat-max-tokens", "chatMaxTokens");

  const system = byId<HTMLTextAreaElement>("system");
  system.value = settings.system;
  system.addEventListener("input", () => change("system", system.value));

  const format = byId<HTMLSelectElement>("format");
  format.addEventListener("change", () => change("format", format.value));
}

/** Offer the layouts that the model was trained on; else the server chooses. */
export function offerFormats(formats: string[]): void {
  const select = byId<HTMLSelectElement>("format");
  const names: Record<string, string> = { psm: "Prefix, suffix (PSM)", spm: "Suffix, prefix (SPM)" };
  select.replaceChildren(
    element("option", { value: "" }, "Automatic"),
    ...formats.map((each) => element("option", { value: each }, names[each] ?? each.toUpperCase())),
  );
  // Before the server has answered, nothing is known of the model.
  if (formats.length && settings.format && !formats.includes(settings.format)) change("format", "");
  select.value = formats.includes(settings.format) ? settings.format : "";
  select.disabled = formats.length < 2;
}

/** The server's own bounds, so that nothing is asked for that it refuses. */
export function boundTokens(context: number): void {
  if (!context) return;
  for (const [id, name] of [
    ["max-tokens", "maxTokens"],
    ["chat-max-tokens", "chatMaxTokens"],
  ] as const) {
    const input = byId<HTMLInputElement>(id);
    input.max = String(context);
    if (settings[name] > context) {
      change(name, context);
      input.value = String(context);
    }
  }
}

function bindRange(id: string, name: "temperature" | "chatTemperature"): void {
  const input = byId<HTMLInputElement>(id);
  const output = byId<HTMLOutputElement>(`${id}-value`);
  const show = () => {
    output.value = Number(input.value).toFixed(2);
  };
  input.value = String(settings[name]);
  input.addEventListener("input", () => {
    change(name, Number(input.value));
    show();
  });
  show();
}

function bindNumber(id: string, name: "maxTokens" | "chatMaxTokens"): void {
  const input = byId<HTMLInputElement>(id);
  input.value = String(settings[name]);
  input.addEventListener("change", () => {
    const most = Number(input.max) || Infinity;
    const value = Math.min(most, Math.max(1, Math.round(Number(input.value)) || 1));
    input.value = String(value);
    change(name, value);
  });
}

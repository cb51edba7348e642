// What a person chose. The key is forgotten with the tab; the rest stays in this browser.

export type Extent = "line" | "block" | "model";

export interface Settings {
  language: string;
  automatic: boolean;
  extent: Extent;
  format: string;
  temperature: number;
  maxTokens: number;
  chatTemperature: number;
  chatMaxTokens: number;
  system: string;
}

const NAME = "codecascade.playground";
const KEY = "codecascade.key";

const DEFAULTS: Settings = {
  language: "python",
  automatic: true,
  extent: "block",
  format: "",
  temperature: 0,
  maxTokens: 128,
  chatTemperature: 0.2,
  chatMaxTokens: 1024,
  system: "",
};

export const settings: Settings = read();

/** Change a setting and keep it. */
export function change<K extends keyof Settings>(name: K, value: Settings[K]): void {
  settings[name] = value;
  keep(localStorageOrNone(), NAME, JSON.stringify(settings));
}

export function apiKey(): string {
  return sessionStorageOrNone()?.getItem(KEY) ?? "";
}

export function setApiKey(key: string): void {
  keep(sessionStorageOrNone(), KEY, key);
}

function read(): Settings {
  const found: Settings = { ...DEFAULTS };
  try {
    const kept: unknown = JSON.parse(localStorageOrNone()?.getItem(NAME) ?? "{}");
    if (kept && typeof kept === "object") {
      for (const [name, value] of Object.entries(kept)) {
        // What an older page kept may have another type.
        if (name in found && typeof value === typeof found[name as keyof Settings]) {
          Object.assign(found, { [name]: value });
        }
      }
    }
  } catch {
    // What can't be read is as good as nothing.
  }
  return found;
}

// A browser that keeps nothing throws at the first look.
function localStorageOrNone(): Storage | undefined {
  try {
    return window.localStorage;
  } catch {
    return undefined;
  }
}

function sessionStorageOrNone(): Storage | undefined {
  try {
    return window.sessionStorage;
  } catch {
    return undefined;
  }
}

function keep(storage: Storage | undefined, name: string, value: string): void {
  try {
    storage?.setItem(name, value);
  } catch {
    // The storage is full or closed; the page works without.
  }
}

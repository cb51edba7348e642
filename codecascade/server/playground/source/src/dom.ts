// Small helpers for the page's own elements. Nothing here, or anywhere else, takes HTML as text.

type Attributes = Record<string, string | boolean | undefined>;

/** An element with attributes and children; true stands for an attribute without a value. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (typeof value === "string") made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** The page's element of an id, which index.html has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found as T;
}

/** A text for people who hear the page: read out once, when it is polite to do so. */
export function announce(text: string): void {
  byId("announcement").textContent = text;
}

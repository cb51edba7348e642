// Dark and light: as the system has it, until a person chooses.

const NAME = "codecascade.theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");

export type Theme = "dark" | "light";

/** What is shown now. */
export function theme(): Theme {
  return chosen() ?? (dark.matches ? "dark" : "light");
}

export function applyTheme(): void {
  document.documentElement.dataset.theme = theme();
}

/** Make a button switch between the two. */
export function bindTheme(button: HTMLButtonElement): void {
  const show = () => {
    applyTheme();
    const other = theme() === "dark" ? "light" : "dark";
    button.setAttribute("aria-label", `Use the ${other} theme`);
    button.title = `Use the ${other} theme`;
  };
  button.addEventListener("click", () => {
    keep(theme() === "dark" ? "light" : "dark");
    show();
  });
  dark.addEventListener("change", show);
  show();
}

let unsaved: Theme | undefined;

function chosen(): Theme | undefined {
  try {
    const kept = window.localStorage.getItem(NAME);
    return kept === "dark" || kept === "light" ? kept : unsaved;
  } catch {
    return unsaved;
  }
}

function keep(value: Theme): void {
  unsaved = value;
  try {
    window.localStorage.setItem(NAME, value);
  } catch {
    // It holds for as long as the page does.
  }
}

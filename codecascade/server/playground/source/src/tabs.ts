// The two tabs, as the ARIA practices have them: arrow keys go from one to the other.
import { byId } from "./dom";

export function bindTabs(onShown: (name: string) => void): (name: string) => void {
  const tabs = [...document.querySelectorAll<HTMLButtonElement>("[role=tab]")];
  const show = (name: string, byKey = false) => {
    for (const tab of tabs) {
      const chosen = tab.dataset.panel === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      byId(tab.dataset.panel!).hidden = !chosen;
      if (chosen && byKey) tab.focus();
    }
    // Who goes through the tabs by keys must not be taken out of them.
    if (!byKey) onShown(name);
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => show(tab.dataset.panel!));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -index, End: tabs.length - 1 - index }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      show(tabs[(index + step + tabs.length) % tabs.length]!.dataset.panel!, true);
    });
  });
  return show;
}

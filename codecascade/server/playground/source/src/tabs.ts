// The two tabs, as the ARIA practices have them: arrow keys go from one to the other.
import { byId } from "./dom";

export function bindTabs(onShow: (name: string) => void): (name: string) => void {
  const tabs = [...document.querySelectorAll<HTMLButtonElement>("[role=tab]")];
  const show = (name: string, focus = false) => {
    for (const tab of tabs) {
      const chosen = tab.dataset.panel === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      byId(tab.dataset.panel!).hidden = !chosen;
      if (chosen && focus) tab.focus();
    }
    onShow(name);
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

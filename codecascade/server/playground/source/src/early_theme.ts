// Runs before the page is drawn, so that it never flashes in the wrong colours.
import { applyTheme } from "./theme";

applyTheme();

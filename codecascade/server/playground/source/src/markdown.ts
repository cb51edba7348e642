// Markdown to elements. What a model writes is hostile: the elements are made one by one from the parser's tokens, HTML
// is shown as the text that it is, images as links, and a link leads to http or https only.
import { lexer, type Token, type Tokens } from "marked";
import { element } from "./dom";
import { colourCode } from "./highlight";

/** What a code block's button may do. */
export interface CodeActions {
  insert(code: string): void;
}

const DEEPEST = 24;

/**
 * Shows a text that grows: blocks that did not change keep their elements, so that a selection in them holds and a long
 * reply costs little.
 */
export class Markdown {
  private shown: { raw: string; node: Node }[] = [];

  constructor(
    private readonly target: HTMLElement,
    private readonly actions: CodeActions,
  ) {}

  show(text: string): void {
    let tokens: Token[];
    try {
      tokens = lexer(text, { gfm: true }).filter((token) => token.type !== "space" && token.type !== "def");
    } catch {
      // Nesting that is deeper than the parser can go.
      tokens = [{ type: "text", raw: text, text }];
    }
    tokens.forEach((token, index) => {
      const old = this.shown[index];
      if (old?.raw === token.raw) return;
      const node = this.block(token, 0);
      if (old) this.target.replaceChild(node, old.node);
      else this.target.append(node);
      this.shown[index] = { raw: token.raw, node };
    });
    for (const gone of this.shown.splice(tokens.length)) this.target.removeChild(gone.node);
  }

  private blocks(tokens: Token[] | undefined, depth: number): Node[] {
    return (tokens ?? []).filter((token) => token.type !== "space").map((token) => this.block(token, depth));
  }

  private block(token: Token, depth: number): Node {
    if (depth > DEEPEST) return element("p", {}, token.raw);
    switch (token.type) {
      case "code":
        return this.code(token as Tokens.Code);
      case "heading": {
        // The page has headings of its own above.
        const level = Math.min(6, (token as Tokens.Heading).depth + 2) as 3 | 4 | 5 | 6;
        return element(`h${level}`, {}, ...inline(token.tokens, depth + 1));
      }
      case "blockquote":
        return element("blockquote", {}, ...this.blocks(token.tokens, depth + 1));
      case "list":
        return this.list(token as Tokens.List, depth);
      case "table":
        return table(token as Tokens.Table, depth);
      case "hr":
        return element("hr");
      case "paragraph":
        return element("p", {}, ...inline(token.tokens, depth + 1));
      case "text":
        return token.tokens
          ? element("p", {}, ...inline(token.tokens, depth + 1))
          : element("p", {}, plain(token));
      default:
        return element("p", {}, token.raw);
    }
  }

  private list(token: Tokens.List, depth: number): HTMLElement {
    const items = token.items.map((item) => {
      const first = item.tokens[0];
      const tight = !item.loose && first?.type === "text";
      const children = tight
        ? [
            ...("tokens" in first && first.tokens ? inline(first.tokens, depth + 1) : [plain(first)]),
            ...this.blocks(item.tokens.slice(1), depth + 1),
          ]
        : this.blocks(item.tokens, depth + 1);
      return element("li", {}, ...children);
    });
    if (!token.ordered) return element("ul", {}, ...items);
    return element("ol", { start: String(token.start || 1) }, ...items);
  }

  private code(token: Tokens.Code): HTMLElement {
    const language = /^[\w+#-]{1,20}/.exec(token.lang ?? "")?.[0] ?? "";
    const code = element("code");
    colourCode(code, token.text, language);
    const copy = element("button", { type: "button", class: "small" }, "Copy");
    copy.addEventListener("click", () => {
      navigator.clipboard
        .writeText(token.text)
        .then(() => "Copied", () => "Not allowed")
        .then((said) => {
          copy.textContent = said;
          window.setTimeout(() => (copy.textContent = "Copy"), 1500);
        });
    });
    const insert = element("button", { type: "button", class: "small" }, "Insert into editor");
    insert.addEventListener("click", () => this.actions.insert(token.text));
    return element(
      "figure",
      { class: "code" },
      element("figcaption", {}, element("span", {}, language || "text"), insert, copy),
      element("pre", { tabindex: "0", "aria-label": `Code, ${language || "text"}` }, code),
    );
  }
}

function table(token: Tokens.Table, depth: number): HTMLElement {
  const cells = (row: Tokens.TableCell[], name: "th" | "td") =>
    element("tr", {}, ...row.map((cell) => element(name, {}, ...inline(cell.tokens, depth + 1))));
  return element(
    "div",
    { class: "table", tabindex: "0", role: "region", "aria-label": "Table" },
    element(
      "table",
      {},
      element("thead", {}, cells(token.header, "th")),
      element("tbody", {}, ...token.rows.map((row) => cells(row, "td"))),
    ),
  );
}

function inline(tokens: Token[] | undefined, depth: number): Node[] {
  return (tokens ?? []).map((token) => span(token, depth));
}

function span(token: Token, depth: number): Node {
  if (depth > DEEPEST) return document.createTextNode(token.raw);
  switch (token.type) {
    case "strong":
      return element("strong", {}, ...inline(token.tokens, depth + 1));
    case "em":
      return element("em", {}, ...inline(token.tokens, depth + 1));
    case "del":
      return element("del", {}, ...inline(token.tokens, depth + 1));
    case "codespan":
      return element("code", {}, (token as Tokens.Codespan).text);
    case "br":
      return element("br");
    case "link":
      return link((token as Tokens.Link).href, inline(token.tokens, depth + 1));
    case "image": {
      const image = token as Tokens.Image;
      return link(image.href, [document.createTextNode(image.text || image.href)]);
    }
    case "checkbox":
      return document.createTextNode((token as Tokens.Checkbox).checked ? "☑ " : "☐ ");
    case "text":
      return "tokens" in token && token.tokens
        ? element("span", {}, ...inline(token.tokens, depth + 1))
        : plain(token);
    case "escape":
      return plain(token);
    default:
      return document.createTextNode(token.raw);
  }
}

const REFERENCES: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', "#39": "'", nbsp: "\u00a0" };

/** The token's text; the parser leaves character references alone. */
function plain(token: Token): Node {
  const text = "text" in token && typeof token.text === "string" ? token.text : token.raw;
  return document.createTextNode(
    text.replace(/&(lt|gt|amp|quot|#39|nbsp);/g, (_whole, name: string) => REFERENCES[name] ?? ""),
  );
}

function link(address: string, children: Node[]): Node {
  let url: URL | undefined;
  try {
    url = new URL(address);
  } catch {
    // An address without a scheme would lead into this server.
  }
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:")) return element("span", {}, ...children);
  return element(
    "a",
    { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow", title: url.href },
    ...children,
  );
}

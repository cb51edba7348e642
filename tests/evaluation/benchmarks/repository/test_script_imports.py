"""Which names a JavaScript or TypeScript file uses of files that it imports by a relative path."""

from __future__ import annotations

import pytest

from codecascade.evaluation.benchmarks.repository.script_imports import ScriptRepository

FILES = {
    "src/price.ts": "export interface Price {\n  value: number;\n}\n\n"
    "export async function priceOf(item: string): Promise<Price> {\n  return { value: 1 };\n}\n"
    "export const LIMIT = 3;\nfunction inner() {}\nexport { inner as outer };\n",
    "src/shop/index.ts": "export { priceOf as cost } from '../price';\nexport * from \"../price\";\n",
    "src/till.js": "export default class Till {\n  open() {}\n}\n",
    "src/old.js": "const made = () => 1;\nmodule.exports = { made };\n",
}
PRICE = "src/price.ts"


def found(text: str) -> list[tuple[str, str, str]]:
    """``(middle, name, file)`` of each use."""
    uses = ScriptRepository({**FILES, "src/main.ts": text}).uses("src/main.ts").uses
    return [(text[use.start : use.end], use.definition.name, use.definition.path) for use in uses]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "import { priceOf } from './price';\nconst x = priceOf('a');\n",
            [("priceOf('a');", "priceOf", PRICE)],
        ),
        (
            "import { priceOf as p, LIMIT } from './price.js'\np(LIMIT)\n",
            [("p(LIMIT)", "priceOf", PRICE), ("LIMIT)", "LIMIT", PRICE)],
        ),
        ("import type { Price } from './price';\nlet x: Price = y;\n", [("Price = y;", "Price", PRICE)]),
        ("import {\n  outer,\n  type Price,\n} from './price';\nouter();\n", [("outer();", "outer", PRICE)]),
        # Through a file that passes names on.
        ("import { cost } from './shop';\ncost(1);\n", [("cost(1);", "priceOf", PRICE)]),
        ("import { LIMIT } from './shop';\nf(LIMIT);\n", [("LIMIT);", "LIMIT", PRICE)]),
        ("import Till from './till';\nnew Till().open();\n", [("Till().open();", "default", "src/till.js")]),
        ("import * as price from './price';\nprice.priceOf(1);\n", [("priceOf(1);", "priceOf", PRICE)]),
        # The brackets around a use are no parameters.
        (
            "import { priceOf } from './price';\nif (all(x => priceOf(x))) {\n}\n",
            [("priceOf(x))) {", "priceOf", PRICE)],
        ),
        (
            "import { priceOf } from './price';\nexport {\n  priceOf,\n};\nc ? f(priceOf(1)) : { a: 1 };\n",
            [("priceOf(1)) : { a: 1 };", "priceOf", PRICE)],
        ),
        (
            "import { priceOf } from './price';\nclass A extends mixed(priceOf) {\n}\n",
            [("priceOf) {", "priceOf", PRICE)],
        ),
        (
            "import { priceOf } from './price';\nf(...priceOf(1), { priceOf });\n",
            [("priceOf(1), { priceOf });", "priceOf", PRICE)],
        ),
        ("const { made } = require('./old');\nmade();\n", [("made();", "made", "src/old.js")]),
        ("const old = require('./old');\nold.made();\n", [("made();", "made", "src/old.js")]),
    ],
)
def test_the_first_use_of_what_another_file_defines(text: str, wanted: list[tuple[str, str, str]]) -> None:
    assert found(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "import { x } from 'library';\nx();\n",
        "import { missing } from './price';\nmissing();\n",
        "import { priceOf } from './nowhere';\npriceOf();\n",
        "import { priceOf } from './price';\n// priceOf()\nconst x = 'priceOf';\n",
        "// import { priceOf } from './price';\npriceOf();\n",
        "import { priceOf } from './price';\nfunction priceOf() {}\n",
        "import { priceOf } from './price';\npriceOf(1); // one\n",
        "import { priceOf } from './price';\nx = { priceOf: 1, y: x.priceOf };\n",
        "import { a } from './main';\na();\n",
        "import { priceOf } from './price' `",
        # Parameters, patterns, methods and lists of that name.
        "import { priceOf } from './price';\nfunction f(priceOf: number): number {\n  return priceOf + 12345;\n}\n",
        "import { priceOf } from './price';\nconst f = priceOf => priceOf + 12345;\n",
        "import { priceOf } from './price';\nconst f = ({ priceOf }) => priceOf + 12345;\n",
        "import { priceOf } from './price';\nconst { priceOf } = other.prices();\npriceOf(12345);\n",
        "import { priceOf } from './price';\ntry {} catch (priceOf) {\n  log(priceOf);\n}\n",
        "import { priceOf } from './price';\nclass A {\n  priceOf(item) { return 1; }\n}\n",
        "import { priceOf } from './price';\ninterface A {\n  priceOf?: number;\n}\n",
        "import { priceOf } from './price';\nexport {\n  priceOf,\n  other,\n};\n",
        "import * as price from './price';\nfunction f(price) {\n  return price.priceOf(1);\n}\n",
    ],
)
def test_nothing_is_found_where_no_other_file_is_used(text: str) -> None:
    assert found(text) == []


def test_what_comes_back_from_the_file_itself_is_not_of_another() -> None:
    files = {
        "src/index.ts": "export * from './m';\n",
        "src/m.ts": "import * as all from './index';\nimport { secret as own } from './index';\n"
        "export function secret() {\n  return 1;\n}\nall.secret(12345);\nown(12345);\n",
    }
    uses = ScriptRepository(files).uses("src/m.ts")
    assert uses.uses == () and uses.definitions() == []


@pytest.mark.parametrize("end", [";\r\n", " ;  \n", f"; // {'a' * 150}\n", "\n"])
def test_exports_at_the_end_of_any_line(end: str) -> None:
    own = "import area, { other } from './p';\nconst x = area(12345);\nconst y = other(12345);\n"
    exported = f"function foo(a) {{ return a }}\nexport default foo{end}export {{ foo as other }}{end}"
    uses = ScriptRepository({"p.ts": exported, "m.ts": own}).uses("m.ts")
    assert [use.name for use in uses.uses] == ["area", "other"]


def test_definitions_are_shown_up_to_their_end() -> None:
    files = {**FILES, "src/way.ts": "export type Way =\n  | 'in'\n  | 'out';\nexport const last = 1;\n"}
    text = "import { priceOf, Price } from './price';\nimport { Way } from './way';\n"
    shown = {
        part.name: part.text
        for part in ScriptRepository({**files, "src/m.ts": text}).uses("src/m.ts").imported
    }
    assert shown["Price"] == "export interface Price {\n  value: number;\n}\n"
    assert shown["priceOf"].endswith("{ value: 1 };\n}\n") and "LIMIT" not in shown["priceOf"]
    assert shown["Way"] == "export type Way =\n  | 'in'\n  | 'out';\n"


@pytest.mark.parametrize(
    "text",
    [
        "import x\n" * 2000,
        "export {\n" * 9000,
        "/* " * 9000,
        "`" * 9001,
        "import a" + " " * 90_000,
        "const {a\n" * 2000,
        "import { LIMIT as l } from './nowhere'\n" + "({[l " * 20_000,
        "".join(f"import {{ missing as m{n} }} from './price'\n" for n in range(500)) + "m1\n" * 20_000,
    ],
)
def test_hostile_files_end_soon(text: str) -> None:
    """A pattern that backtracks over the whole file at each of its lines would take hours."""
    assert found(text * 4) == []

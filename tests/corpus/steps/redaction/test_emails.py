"""E-mail addresses, and code that looks like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from work import grows_linearly

from codecascade.corpus.documents import batch_from_documents, document
from codecascade.corpus.steps.redaction.emails import find_emails
from codecascade.corpus.steps.redaction.redaction import redact, redact_batch
from codecascade.corpus.steps.redaction.regions import REGIONS, Regions

CODE = [
    ("kotlin", "val label = this@MainActivity.getString(R.string.title)"),
    ("kotlin", "this@lparams.layoutParams = layoutParams"),
    ("kotlin", "val name = this@Person.name + super@Node.id + this@Host.info"),
    ("kotlin", 'log("${this@Person.name} of ${this@Node.id}")'),
    ("r", "cells@meta.data$score <- scores"),
    ("r", "keep <- rownames(cells@meta.data)[cells@meta.data$score > 0.5]"),
    ("r", "project.name = object@project.name, x = fit@sigma.re"),
    ("r", "#' head(x = pbmc@meta.data)"),
    ("r", "expect_equal(anchors@query.cells, obj@graph.net)"),
    ("python", "scores = q@k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])"),
    ("python", "return x@layer.weight + layer.bias"),
    ("python", "y = X@self.mu + K@gp.id + a@b.name + z@w.data[0] + p@q.map{1}"),
    ("python", "# y = weights@model.data"),
    ("python", '"""The product x@y.info(z) of both."""'),
    ("python", "se = X@m.se + X@m.be + h@w.hr; y = x@w.DE if x@c.org[0] else q@k.mt"),
    ("python", "f'{x@m.it}', rf\"{{{x@m.se:.2f}}}\", F'''{a}\n{x@m.de}''' "),
    ("cython", "y = M@st.tr"),
    ("r", "lower <- fit@est - 1.96 * fit@coef.se / fit@n.it; obj@meta.de$gene"),
    ("scala", "case x@Country.DE => x.base * 0.19"),
    ("haskell", "f m@M.No = m"),
    ("ocaml", "let all = xs@ys.tl and l = env.a@st.ps"),
    ("verilog", "always@vif.ck;"),
    ("tex", "\\def\\x@y.to{1} \\ifx\\foo@bar.no"),
    ("sql", "SELECT e.id FROM hr.employees@sales.us.acme.com e -- of sales"),
    ("plsql", "INSERT INTO r SELECT * FROM emp@hq.acme.org;"),
    ("matlab", "obj@suite.base.Runner(name); run@suite.base.name;"),
    ("matlab", "y = x'; obj@base.Runner.id(x');"),
    ("scala", "case round@Shape.Circle(r) => area(round)"),
    ("scala", "case box@Shape.Link => box"),
    ("haskell", "rename name cfg@T.Config{} = cfg"),
    ("haskell", "go xs'@Seq.Name = xs' -- it's"),
    ("rust", "match x { n@Kind::Name => n, all@self.name => all }"),
    ("ocaml", "let all = xs@ys.data in all@Rest.name"),
    ("css", 'background-image: url("images/logo@2x.png");'),
    ("css", 'url("logo@1.5x.app"), url("logo@3x.zip")'),
    ("shell", "systemctl enable getty@tty1.service"),
    ("shell", "git clone git@github.com:owner/name.git"),
    ("shell", "url=git@gitlab.com && git clone ssh://jane@code.org/name"),
    ("shell", "ssh -p 22 jane@server.acme.io uptime; scp a.tar jane@server.acme.io:/srv"),
    ("shell", "rsync -a . deploy@acme.com:www/"),
    ("shell", "ssh -J jump@bastion.acme.com deploy@prod.acme.com uptime"),
    ("shell", "ssh -o StrictHostKeyChecking=no \\\n    deploy@prod.acme.com \\\n    'systemctl restart web'"),
    ("shell", "/usr/bin/ssh -q admin@gw.acme.com reboot; sudo -u x ssh -t root@h.acme.com"),
    ("shell", "HOST=deploy@prod.acme.com\nexport REMOTE_HOST='deploy@prod.acme.com'\nssh $HOST"),
    ("shell", "scp a.txt me@a.acme.com:x me@b.acme.com: && $SSH ops@c.acme.com"),
    ("makefile", "deploy:\n\t$(SSH) deploy@prod.acme.com uptime\n\t${SCP} x ops@prod.acme.com:"),
    ("python", "subprocess.run(['ssh', 'me@vm.acme.com', 'uptime'])"),
    ("yaml", "  host: deploy@prod.acme.com"),
    ("shell", "curl -F file=@dog.info -F web=@index.html https://acme.com"),
    ("dockerfile", "FROM debian@sha256.abc"),
    ("javascript", "import a from '@scope/name.js'; require('vue@3.2.47.me')"),
    ("javascript", "fetch('https://cdn.acme.com/npm/vue@next.js'); mod@v1.2.0.info"),
    ("java", "@Foo.Bar @interface x(@org.acme.Name String y)"),
    ("java", "/** See {@link Foo#bar@baz.Name} */"),
    ("objective-c", '[self log:@"%@ of %@.com", name, host];'),
    ("swift", "@objc.name func f() {}"),
    ("ruby", "puts@user.name; x = y-@user.id"),
    ("php", "$x = $mail@host.com; @file.name; sprintf('%s@%s.com', $a, $b)"),
    ("php", "'http://user:pass-word@acme.com/' . 'ftp://jane@acme.com/'"),
    ("perl", '"$user@acme.com"; "@{$list}.com"; "${name}@acme.com"'),
    ("c", 'strcmp(name, "chacha20-poly1305@openssh.com") || "rijndael-cbc@lysator.liu.se"'),
    ("yaml", "email: jane@example.com, joe@mail.example.org, x@host.test, y@localhost"),
    ("text", "file foo@bar.py and user@lib.rs and x@y.sh and notes@home.md"),
]
ADDRESSES = [
    ("python", 'real = "maria.lopez@corp-mail.io"', ["maria.lopez@corp-mail.io"]),
    ("python", "# Author: Jane (jane@acme.dev)", ["jane@acme.dev"]),
    (
        "python",
        '"""By jane@acme.de, it\'s free.\n\nAnd joe@acme.name <joe@acme.name>."""',
        ["jane@acme.de", "joe@acme.name"],
    ),
    ("r", "#' @author R. Miller, \\email{miller@stats.ac.uk}", ["miller@stats.ac.uk"]),
    ("r", "person('J', email = 'j@acme.net')", ["j@acme.net"]),
    ("kotlin", 'insert("email" to "jane@acme.info")', ["jane@acme.info"]),
    ("kotlin", "/* jane@acme.net */ val x = this@Foo.name // joe@acme.it", ["jane@acme.net", "joe@acme.it"]),
    (
        "haskell",
        "-- Maintainer  : jane@acme.gy\nx = ['a', '\"']\n-- it's joe@acme.is",
        ["jane@acme.gy", "joe@acme.is"],
    ),
    ("matlab", "x = y'; % mail jane@acme.ch\nz = 'joe@acme.se';", ["jane@acme.ch", "joe@acme.se"]),
    ("rust", "fn f<'a>(x: &'a str) {} // jane@acme.nl", ["jane@acme.nl"]),
    ("ocaml", "(* jane@acme.fr *) let x = 'a'", ["jane@acme.fr"]),
    ("c", "//jane@acme.com", ["jane@acme.com"]),
    ("c", " * Signed-off-by: Jane Doe <jane.doe+git@mail.acme.cloud>", ["jane.doe+git@mail.acme.cloud"]),
    ("c", 'puts("mail\\njane@acme.com\\n");', ["jane@acme.com"]),
    ("c", 'puts("c:\\\\njane@acme.com");', ["njane@acme.com"]),
    ("perl", "Jane, E<lt>jane@acme.comE<gt>, B<jane@cpan.org>", ["jane@acme.com", "jane@cpan.org"]),
    ("perl", 'my $mail = "jane\\@acme.com";', ["jane\\@acme.com"]),
    ("markdown", "[Jane](mailto:jane@acme.link) or `joe@acme.com`.", ["jane@acme.link", "joe@acme.com"]),
    ("markdown", "联系jane@acme.cn。或者 123456@qq.com，谢谢", ["jane@acme.cn", "123456@qq.com"]),
    ("yaml", "maintainer: jane@acme.zip\nurl: mailto://joe@acme.org", ["jane@acme.zip", "joe@acme.org"]),
    ("json", '{"email": "JANE@ACME.COM", "to": "joe@acme.co.id"}', ["JANE@ACME.COM", "joe@acme.co.id"]),
    ("javascript", "to: 'jane@acme.software', cc: ['joe@acme.me']", ["jane@acme.software", "joe@acme.me"]),
    ("yaml", "agent: Bot/1.0 (+bot@acme.com; ${MAIL:-jane@acme.com})", ["bot@acme.com", "jane@acme.com"]),
    ("shell", "# Author: Jane <git@acme.es>", ["git@acme.es"]),
    ("python", "f'{name} <jane@acme.de>', f'{{jane@acme.se}}'", ["jane@acme.de", "jane@acme.se"]),
    ("sql", "-- by jane@acme.com\nINSERT INTO p VALUES ('joe@acme.org')", ["jane@acme.com", "joe@acme.org"]),
    ("shell", "ssh box mail -s done jane@acme.com", ["jane@acme.com"]),
    ("tex", "\\email{jane@acme.de}", ["jane@acme.de"]),
    ("toml", 'authors = ["Jane <jane@acme.rs>"]', ["jane@acme.rs"]),
    (
        "text",
        "Write to jane@acme.com, joe@acme.org; or: jim@163.com.",
        ["jane@acme.com", "joe@acme.org", "jim@163.com"],
    ),
]


@pytest.mark.parametrize(("language", "text"), CODE)
def test_code_stays_code(language: str, text: str) -> None:
    assert [text[start:end] for start, end in find_emails(text, language)] == []


@pytest.mark.parametrize(("language", "text", "expected"), ADDRESSES)
def test_addresses_are_found(language: str, text: str, expected: list[str]) -> None:
    found = [text[start:end] for start, end in find_emails(text, language)]
    assert list(dict.fromkeys(found)) == expected


def test_a_batch_knows_its_languages() -> None:
    texts = {"r": "x <- fit@var.net", "html": "<p>fit@var.net</p>"}
    batch = batch_from_documents(
        [
            document(text, path="a", repository="r", language=language, license="MIT", kind="code")
            for language, text in texts.items()
        ]
    )
    outcome = redact_batch(batch)
    assert outcome.kept["text"].to_pylist() == ["x <- fit@var.net", "<p><EMAIL></p>"]
    assert outcome.replaced == {"<EMAIL>": 1}


@given(
    st.sampled_from(sorted(REGIONS)),
    st.text(st.sampled_from("ab@.\"'`\\\n#/*-{}()%|=r ")),
    st.integers(0, 40),
)
def test_regions_end(language: str, text: str, place: int) -> None:
    Regions(text, language).expression_at(place)


@given(st.text(st.sampled_from("ab1@.\\/:<>\"' \n-+_({$"), max_size=60))
def test_what_is_left_holds_no_address(text: str) -> None:
    clean, counts = redact(f"{text} jane@acme.com {text}")
    assert counts["<EMAIL>"] >= 1 and "jane@acme.com" not in clean
    assert redact(clean)[0] == clean


HOSTILE = {
    "a@": lambda size: "a@" * (size // 2),
    "a.": lambda size: "a." * (size // 2) + "@",
    "a@b.": lambda size: "a@b." * (size // 4),
    '"': lambda size: '"' * (size | 1),
    "'": lambda size: "'" * (size | 1),
    "\\": lambda size: "\\" * (size | 1) + "a@b.com",
    "/*": lambda size: "/*" * (size // 2),
    "{-": lambda size: "{-" * (size // 2),
    'r#"': lambda size: 'r#"' * (size // 3),
    "-": lambda size: "-" * size + "@a.de",
    "://a:": lambda size: "://a:" * (size // 5) + "a@b.de",
}


@pytest.mark.parametrize("language", ["", "haskell", "kotlin", "matlab", "python", "r", "rust"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_take_no_longer_than_their_length(language: str, kind: str) -> None:
    def find(text: str) -> None:
        list(find_emails(text + " jane@acme.com", language))

    assert grows_linearly(find, HOSTILE[kind], size=50_000)

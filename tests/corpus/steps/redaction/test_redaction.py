"""Secrets are replaced, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from work import grows_linearly

from codecascade.corpus.documents import batch_from_documents, document
from codecascade.corpus.steps.redaction.redaction import redact, redact_batch

CODE = "def add(first, second):\n    return first + second\n"


# Put together here, so that no scanner takes this file for a leak.
A1 = "aB3dE5fG7hI9"


SECRETS = {
    "AK" + "IA" + "Q7R2T9W4Z6X8V1B3": "<KEY>",
    "gh" + "p_" + (A1 * 3): "<KEY>",
    "xox" + "b-902817364512-" + "q7r2t9w4z6": "<KEY>",
    "sk" + "_live_" + A1 * 2: "<KEY>",
    "ey" + "JhbGciOiJIUzI1NiJ9." + A1 * 2 + "." + A1 * 3: "<KEY>",
    f'password = "{A1}xK2mN4pQ6rS8"': 'password = "<KEY>"',
    f"'secret_key': '{A1}xK2mN4pQ6rS8tU0'": "'secret_key': '<KEY>'",
    "postgres://admin:h7Gt5Rw2@db.corp.io/x": "postgres://admin:<PASSWORD>@db.corp.io/x",
    "jane.doe+news@mail.corp.io": "<EMAIL>",
    "93.184.216.34": "<IP_ADDRESS>",
    "http://93.184.216.34/x": "http://<IP_ADDRESS>/x",
    '"a\\n' + "gh" + "p_" + (A1 * 3) + '"': '"a\\n<KEY>"',
    "-----BEGIN RSA PRIVATE"
    + " KEY-----\n"
    + ("MIIEow" * 10 + "\n") * 5
    + "-----END RSA PRIVATE"
    + " KEY-----": "<KEY>",
}


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_replaced(secret: str) -> None:
    before, after = "# a comment\nvalue = ", "\n" + CODE
    assert redact(before + secret + after)[0] == before + SECRETS[secret] + after


@pytest.mark.parametrize("secret", SECRETS)
def test_every_rule_has_a_hint(secret: str) -> None:
    """A batch is searched by hints first; none of them may hide a secret."""
    texts = [CODE, f"x = {secret}\n", CODE, f"é漢 {secret}"]
    batch = batch_from_documents(
        [
            document(t, path="a", repository="r", language="text", license="MIT", kind="natural_language")
            for t in texts
        ]
    )
    outcome = redact_batch(batch)
    assert outcome.kept["text"].to_pylist() == [redact(text)[0] for text in texts]
    assert sum(outcome.replaced.values()) == 2 and outcome.dropped.num_rows == 0


@pytest.mark.parametrize(
    "text",
    [
        "@decorator\ndef f(self): ...",
        "git@github.com:owner/name.git",
        "someone@example.com",
        "version = '12.34.56.78'",
        "1.2.3.4 and 192.168.0.1 and 127.0.0.1 and 8.8.8.8 and 10.20.30.40",
        "999.1.2.3 or 1.2.3.4.5",
        "password = 'correct horse battery'",
        "token = os.environ['SECRET_TOKEN_OF_THE_SERVICE']",
        "api_key = 'your-api-key-goes-here-please'",
        "sha256 = '" + "0123456789abcdef" * 4 + "'",
        "url = 'http://user:<password>@host/'",
        "AKIAXXXXXXXXXXXXXXXX",
        f"if '-----BEGIN RSA PRIVATE{' KEY-----'}' in data:\n    raise ValueError(data)\n" + CODE * 20,
        f"'-----BEGIN PRIVATE{' KEY-----'}\\n...\\n-----END PRIVATE{' KEY-----'}'",
        "def test_highs_written_model_contains_variable_names(self): ...",
        "ghs_written_model_contains_all_the_variables_names()",
        "AUTHOR='supercop-20221122/crypto_sign/ed25519/Ref'",
        "data = 'BWohBCABIANLIQVBASEBIAUNAtAK" + "IAQ7R2T9W4Z6X8V1B3BCABIANLIQ'",
        "data = '+AK" + "IAQ7R2T9W4Z6X8V1B3BCABIANLIQ'",
        "key = compute_cache_key_for_user_and_session_v2_ab(user)",
        "token := parseAuthorizationBearerTokenFromHeaderV2And(r)",
        "const char *pass = get_pass_for_renderer_stage_2_of_pipeline_xx;",
        "return MessageAuthenticationType.SHA256.getAlgorithmIdentifierNameFrom1(this);",
        "switch (n) { case 16777216:handle_large_allocation_request_in_pool_2(n); }",
        "key: pip-cache-ubuntu-22-04-python-3-requirements",
        "224.0.0.251 239.255.255.250 224.0.0.252 255.255.255.255",
        "'com.google.android.gms:play-services:11.8.0.1' 'com.oracle:ojdbc8:12.2.0.1'",
        "FROM oracle/database:19.3.0.1\nRUN apt-get install -y foo=14.2.0.1 bar=2:12.1.0.3",
        "yum install x-11.2.0.4; wget https://x.org/oracle-19.3.0.1.zip",
        "# OpenJDK 17.0.4.1, JDK 11.0.14.1\nORACLE = ['11.2.0.4', '12.1.0.2']\njdk: ['11.0.14.1', '17.0.4.1']",
        "VERSIONS = ('11.2.0.4', '62.1.0.2', '99.14.0.1')\nsupported releases: 12.1.0.2, 45.1.0.2",
        '// since 22.0.0.12\nreturn compare("11.0.9.1", "11.0.11.3");',
        "Chrome/81.0.4044.111 YaBrowser/24.1.2.87 GSA/11.13.5.21.arm",
        "http://user:password@acme.com/ and mongodb://me:YOUR_PASSWORD@host:27017/ and ftp://a:****@b.com/",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert redact(text) == (text, {})


@given(
    st.tuples(st.integers(11, 223), *[st.integers(1, 254)] * 3)
    .map(lambda numbers: ".".join(map(str, numbers)))
    .filter(lambda address: redact(f"ssh {address}")[1]["<IP_ADDRESS>"] == 1),
    st.sampled_from(
        ["SERVERS = ['{}', '{}']", "client_ip = {}; {}", "http://{}/ http://{}:80/", "ALLOWED_IPS: {} {}"]
    ),
    st.sampled_from(["# {}", "x = ['{}', '{}']", "jdk: {}", "ORACLE = [{}, {}]", "from {} to {}"]),
)
def test_a_real_address_is_no_version(address: str, line: str, of_nothing: str) -> None:
    assert address not in redact(line.format(address, address))[0]
    if any(int(number) > 31 for number in address.split(".")):
        assert address not in redact(of_nothing.format(address, address))[0]


def test_small_numbers_are_an_address_where_something_says_so() -> None:
    for text in (
        "db_host: 17.0.4.1",
        "17.0.4.1:8080",
        "allow 17.0.4.0/24 17.0.4.1/32",
        "root@17.0.4.1",
        "ping 17.0.4.1",
    ):
        assert "17.0.4.1" not in redact(text)[0]


def test_a_private_key_ends_where_its_lines_do() -> None:
    line = "MIIEow" * 10
    begin, end = "-----BEGIN EC PRIVATE" + " KEY-----", "-----END EC PRIVATE" + " KEY-----"
    for before, between, after in (('"""', "\n", '"""'), ('"', '\\n"\n    "', '"'), ("# ", "\n# ", "")):
        key = between.join([begin, line, line[:-6] + "==", end])
        assert redact(f"{before}{key}{after}\n{CODE}")[0] == f"{before}<KEY>{after}\n{CODE}"
    cut = f'"""{begin}\n{line}\n{line}"""\n{CODE}'
    assert redact(cut)[0] == f'"""<KEY>"""\n{CODE}'
    locked = f"{begin}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,A0\n\n{line}\n{end}"
    assert redact(locked)[0] == "<KEY>"


@given(st.text(), st.sampled_from(sorted(SECRETS)), st.text())
def test_redaction_leaves_the_rest_alone(before: str, secret: str, after: str) -> None:
    text = f"{before}\n {secret}\n{after}"
    clean, counts = redact(text)
    assert sum(counts.values()) >= 1 and redact(clean)[0] == clean
    pieces = re.split("<EMAIL>|<KEY>|<PASSWORD>|<IP_ADDRESS>", clean)
    assert all(piece in text for piece in pieces)


@pytest.mark.parametrize("unit", ["xoxb-1-", "//a:_authToken", "gh" + "p_a1", "key = ", "12345678:a", "a@b."])
def test_hostile_texts_take_no_longer_than_their_length(unit: str) -> None:
    assert grows_linearly(redact, lambda size: unit * (size // len(unit)), size=50_000)

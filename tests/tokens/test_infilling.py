from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
import transformers
from hypothesis import example, given
from hypothesis import strategies as st

from codecascade.ground.errors import UserError
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.infilling import (
    InfillingTokens,
    add_infilling_tokens,
    drop_infilling_tokens,
    infilling_example,
    infilling_prompt,
    rows_for,
    split_document,
)
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer

from .conftest import texts

PREFIX, MIDDLE, SUFFIX = "def f(x):\n    ", "return x", "\n\nprint(f(1))\n"


def tokens_of(tokenizer: Tokenizer) -> InfillingTokens:
    assert tokenizer.infilling is not None
    return tokenizer.infilling


def test_the_layouts_of_the_paper(tokenizer: Tokenizer) -> None:
    t = tokens_of(tokenizer)
    bos, encode, continued = tokenizer.bos(), tokenizer.encode, tokenizer.encode_continuation
    after = [t.suffix, *continued(SUFFIX), t.middle]
    assert infilling_prompt(tokenizer, PREFIX, SUFFIX) == [*bos, t.prefix, *encode(PREFIX), *after]
    assert infilling_prompt(tokenizer, PREFIX, SUFFIX, format="spm") == [
        *bos,
        t.prefix,
        *after,
        *encode(PREFIX),
    ]
    psm = infilling_example(tokenizer, PREFIX, MIDDLE, SUFFIX, format="psm")
    assert psm.ids == [*bos, t.prefix, *encode(PREFIX), *after, *continued(MIDDLE), t.end]
    spm = infilling_example(tokenizer, PREFIX, MIDDLE, SUFFIX, format="spm")
    assert spm.ids == [*bos, t.prefix, *after, *encode(PREFIX + MIDDLE), t.end]


def test_only_the_prefix_gets_a_dummy_space(tokenizer: Tokenizer) -> None:
    """The classic mistake (an extra 29871 after the suffix token) would show as a space."""
    ids = infilling_prompt(tokenizer, "x", "y")
    assert tokenizer.decode_continuation(ids) == (" xy" if tokenizer.adds_bos else "xy")
    ids = infilling_prompt(tokenizer, "x", "y", format="spm")
    assert tokenizer.decode_continuation(ids) == ("y x" if tokenizer.adds_bos else "yx")


@given(prefix=texts, middle=texts, suffix=texts)
def test_psm_prompts_are_prefixes_of_examples(
    tokenizer: Tokenizer, prefix: str, middle: str, suffix: str
) -> None:
    one = infilling_example(tokenizer, prefix, middle, suffix, format="psm")
    assert one.ids[: one.middle_start] == infilling_prompt(tokenizer, prefix, suffix)
    assert one.ids[one.middle_start :] == [*tokenizer.encode_continuation(middle), tokens_of(tokenizer).end]


@given(prefix=texts, middle=texts, suffix=texts)
@example(prefix="enu", middle="merate(", suffix="x)")
@example(prefix="", middle="x", suffix="")
@example(prefix="", middle="", suffix="")
@example(prefix="x", middle="", suffix="")
def test_spm_examples_hold_prefix_and_middle_as_one_text(
    tokenizer: Tokenizer, prefix: str, middle: str, suffix: str
) -> None:
    one = infilling_example(tokenizer, prefix, middle, suffix, format="spm")
    head = len(infilling_prompt(tokenizer, "", suffix, format="spm"))
    joined = tokenizer.encode(prefix + middle)
    assert one.ids == [
        *infilling_prompt(tokenizer, "", suffix, format="spm"),
        *joined,
        tokens_of(tokenizer).end,
    ]
    before = tokenizer.decode_continuation(one.ids[head : one.middle_start]).encode()
    dummy = b" " if tokenizer.adds_bos else b""
    length = len(
        tokenizer.decode_continuation(tokenizer.encode(prefix)).removeprefix(dummy.decode()).encode()
    )
    # All tokens before middle_start lie in the prefix, and the token there holds the middle's first byte.
    size = sum(len(tokenizer.token_bytes(token)) for token in one.ids[head : one.middle_start])
    through = size + len(tokenizer.token_bytes(one.ids[one.middle_start]))
    border = length + len(dummy) if prefix else 0
    assert size <= border, before
    assert (through > border) if middle else one.middle_start == len(one.ids) - 1 or not prefix


def test_text_of_control_tokens_in_a_document_stays_text(tokenizer: Tokenizer) -> None:
    t = tokens_of(tokenizer)
    text = "a ▁<PRE> <SUF> <MID> <EOT> </s> <|endoftext|> b"
    for layout in ("psm", "spm"):
        ids = infilling_example(tokenizer, text, text, text, format=layout).ids
        counts = Counter(token for token in ids if token in tokenizer.special_ids)
        expected = Counter([*tokenizer.bos(), t.prefix, t.suffix, t.middle, t.end])
        assert counts == expected


@given(text=texts, seed=st.integers())
def test_splits_are_the_document(text: str, seed: int) -> None:
    assert "".join(split_document(text, random.Random(seed))) == text
    assert split_document(text, random.Random(seed)) == split_document(text, random.Random(seed))


def test_split_points_are_uniform_and_independent() -> None:
    text = "abcdefghi"  # ten positions for a cut
    rng = random.Random(0)
    lengths = [tuple(map(len, split_document(text, rng))) for _ in range(20_000)]
    places = Counter((p, p + m) for p, m, _ in lengths)
    assert len(places) == 55
    for (first, second), count in places.items():
        assert count / 20_000 == pytest.approx((1 if first == second else 2) / 100, abs=0.005)


# ------------------------------------------------------------------------------------ adding and dropping


def test_others_get_the_next_free_ids(llama: Tokenizer, byte_level: Tokenizer) -> None:
    for plain in (llama, byte_level):
        assert plain.infilling is None
        more = add_infilling_tokens(plain)
        t = tokens_of(more)
        assert (t.prefix, t.suffix, t.middle, t.end) == (1000, 1001, 1002, 1003)
        assert (t.family, t.formats, more.vocab_size) == ("code_llama", ("psm", "spm"), 1004)
        assert t.end in more.stop_ids and plain.stop_ids == tuple(i for i in more.stop_ids if i != t.end)
        assert add_infilling_tokens(more) is more
        assert drop_infilling_tokens(more).spec == plain.spec
        assert drop_infilling_tokens(plain) is plain


def test_infilling_tokens_before_others_are_not_dropped(llama: Tokenizer) -> None:
    """The ids of the others would change, or leave a gap, and the model's rows stay."""
    infilled = add_infilling_tokens(llama)
    step = infilled.with_vocabulary([tokenizer_json.added_token("<step>", infilled.vocab_size)])
    with pytest.raises(UserError, match=r"keep_infilling_tokens: .*<step> comes after them"):
        drop_infilling_tokens(step)


def llama2_sized(small: Tokenizer) -> Tokenizer:
    """A tokenizer with 32,000 pieces and Llama 2's marks, otherwise the small one."""
    marks = {"▁▁": 259, "▁t": 260, "▁": 29_871, "☺": 31_171}
    model = small.spec["model"]
    pieces = [*small.vocabulary, *(f"\ue000{n}" for n in range(32_000 - small.vocab_size))]
    for piece, place in marks.items():
        if piece not in pieces:
            pieces[place] = piece
        there = pieces.index(piece)
        pieces[there], pieces[place] = pieces[place], pieces[there]
    vocab = {piece: token for token, piece in enumerate(pieces)}
    merges = [merge for merge in model["merges"] if all(part in vocab for part in merge.split(" "))]
    merges = tokenizer_json.merges_within(merges, vocab)
    return Tokenizer({**small.spec, "model": {**model, "vocab": vocab, "merges": merges}}, small.config)


def test_llama2_gets_code_llamas_ids(llama: Tokenizer, tmp_path: Path) -> None:
    plain = llama2_sized(llama)
    assert (plain.vocab_size, rows_for(plain.vocab_size)) == (32_000, 32_000)
    tokenizer = add_infilling_tokens(plain)
    t = tokens_of(tokenizer)
    assert (t.prefix, t.suffix, t.middle, t.end) == (32_007, 32_008, 32_009, 32_010)
    assert (tokenizer.vocab_size, rows_for(tokenizer.vocab_size)) == (32_011, 32_016)
    assert tokenizer.special_ids >= set(range(32_000, 32_011))

    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.convert_tokens_to_ids(["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"]) == [
        32_007,
        32_008,
        32_009,
        32_010,
    ]
    assert len(theirs) == 32_011
    assert theirs(PREFIX)["input_ids"] == tokenizer.encode(PREFIX, bos=True) == plain.encode(PREFIX, bos=True)
    assert tokens_of(load_tokenizer(tmp_path)) == t
    assert drop_infilling_tokens(tokenizer).spec == plain.spec


def test_a_padded_llama2_keeps_its_padding_token(llama: Tokenizer) -> None:
    plain = llama2_sized(llama).with_vocabulary([tokenizer_json.added_token("<pad>", 32_000)])
    tokenizer = add_infilling_tokens(plain)
    assert tokens_of(tokenizer).prefix == 32_007 and tokenizer.vocabulary["<pad>"] == 32_000
    assert drop_infilling_tokens(tokenizer).spec == plain.spec


def test_released_code_llama_comes_down_to_llama2(llama: Tokenizer) -> None:
    """The released vocabulary has its 16 ids among the pieces, with merges that lead to them."""
    plain = llama2_sized(llama)
    model = plain.spec["model"]
    parts = ["▁<SU", "▁<SUF", "▁<PRE", "▁<M", "▁<MID", "▁<E", "▁<EOT", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"]
    vocab = model["vocab"] | {part: 32_000 + n for n, part in enumerate(parts)}
    merges = [*model["merges"], *(f"{part[:-1]} >" for part in parts[-4:])]
    released = Tokenizer({**plain.spec, "model": {**model, "vocab": vocab, "merges": merges}}, plain.config)
    assert tokens_of(released).end == 32_010 and rows_for(released.vocab_size) == 32_016
    assert drop_infilling_tokens(released).spec == plain.spec


@pytest.mark.parametrize(
    ("size", "rows"),
    [
        (32_000, 32_000),
        (32_004, 32_064),
        (32_011, 32_016),
        (32_016, 32_016),
        (49_156, 49_216),
        (64, 64),
        (65, 128),
    ],
)
def test_rows(size: int, rows: int) -> None:
    assert rows_for(size) == rows


# ------------------------------------------------------------------------------------ families

FAMILIES = {
    "starcoder": (("<fim_prefix>", "<fim_suffix>", "<fim_middle>"), "<|endoftext|>", ("psm", "spm")),
    "qwen": (("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"), "<|endoftext|>", ("psm",)),
    "deepseek": (("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"), "<｜end▁of▁sentence｜>", ("psm",)),
    "codestral": (("[PREFIX]", "[SUFFIX]"), "</s>", ("spm",)),
}


def of_family(plain: Tokenizer, family: str) -> Tokenizer:
    names, end, _ = FAMILIES[family]
    extra = [*names, "<|file_sep|>", *([end] if end not in plain.vocabulary else [])]
    more = plain.with_vocabulary([tokenizer_json.added_token(name, 1000 + n) for n, name in enumerate(extra)])
    return Tokenizer(more.spec, {**more.config, "eos_token": end})


@pytest.mark.parametrize("family", FAMILIES)
def test_families_keep_their_own_tokens(llama: Tokenizer, byte_level: Tokenizer, family: str) -> None:
    names, end, formats = FAMILIES[family]
    tokenizer = of_family(llama if family == "codestral" else byte_level, family)
    t = tokens_of(tokenizer)
    assert (t.family, t.formats) == (family, formats)
    assert (t.prefix, t.suffix, t.middle) == (1000, 1001, 1002 if len(names) == 3 else None)
    assert t.end == tokenizer.vocabulary[end]
    assert tokenizer.vocabulary["<|file_sep|>"] in t.extra_stops
    assert {t.end, *t.extra_stops} <= set(tokenizer.stop_ids)
    assert add_infilling_tokens(tokenizer) is tokenizer and drop_infilling_tokens(tokenizer) is tokenizer
    bad = ({"psm", "spm", "mps"} - set(formats)).pop()
    with pytest.raises(UserError, match=f"'{bad}' is not an infilling format of this tokenizer; use"):
        infilling_prompt(tokenizer, "a", "b", format=bad)
    for text in names:
        assert not tokenizer.special_ids & set(tokenizer.encode(f"x{text}y"))


def test_codestral_has_its_own_order(llama: Tokenizer) -> None:
    tokenizer = of_family(llama, "codestral")
    encode, continued = tokenizer.encode, tokenizer.encode_continuation
    prompt = infilling_prompt(tokenizer, PREFIX, SUFFIX, format="spm")
    assert prompt == [1, 1001, *continued(SUFFIX), 1000, *encode(PREFIX)]
    one = infilling_example(tokenizer, PREFIX, MIDDLE, SUFFIX, format="spm")
    assert one.ids == [1, 1001, *continued(SUFFIX), 1000, *encode(PREFIX + MIDDLE), 2]


def test_without_infilling_tokens_there_is_no_infilling(llama: Tokenizer) -> None:
    with pytest.raises(UserError, match="no infilling tokens"):
        infilling_prompt(llama, "a", "b")

"""Captions to ids and back, with a vocabulary that the captions themselves gave."""

import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmamba_edu.models.caption_tokeniser import SPECIAL, CaptionTokeniser, train_tokeniser
from vmamba_edu.video import MOTIONS, moving_digits

pytest.importorskip("tokenizers")
WORDS = ["a", "an", "eight", "seven", "two", "moves", "left", "right", "turns", "clockwise", "grows", "appears"]


@pytest.fixture(scope="module")
def captions() -> list[str]:
    return [moving_digits(d, m, num_frames=1, size=8).caption for d in range(10) for m in MOTIONS]


@pytest.fixture(scope="module")
def tokeniser(captions) -> CaptionTokeniser:
    return train_tokeniser(captions)


def test_special_tokens_come_first(tokeniser):
    assert (tokeniser.pad, tokeniser.unknown, tokeniser.cls, tokeniser.sep, tokeniser.mask) == (0, 1, 2, 3, 4)


def test_every_caption_of_moving_digits_comes_back(tokeniser, captions):
    ids, attends = tokeniser.encode(captions)
    assert ids.shape == attends.shape
    assert tokeniser.decode(ids) == captions
    assert not (ids == tokeniser.unknown).any()
    assert (ids < tokeniser.vocab_size).all()
    assert len({tuple(row) for row in ids.tolist()}) == len(captions)
    assert tokeniser.vocab_size < 300


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=5))
def test_a_row_is_cls_words_sep_and_padding(captions):
    tokeniser = train_tokeniser(WORDS)
    ids, attends = tokeniser.encode(captions)
    for row, there, caption in zip(ids, attends, captions, strict=True):
        length = int(there.sum())
        assert there.tolist() == [True] * length + [False] * (len(row) - length)
        assert row[0] == tokeniser.cls
        assert row[length - 1] == tokeniser.sep
        assert (row[length:] == tokeniser.pad).all()
        assert length == 2 + len(caption.split())  # every word is in the vocabulary as a whole
    assert attends.any(0).all(), "no longer than the longest caption"


def test_capitals_and_accents_do_not_matter_and_unknown_letters_are_said_to_be(tokeniser):
    one, other = tokeniser.encode(["A SEVÉN moves left", "a seven moves left"])[0]
    assert torch.equal(one, other)
    assert tokeniser.unknown in tokeniser.encode(["a 猫 moves left"])[0]


def test_what_is_too_long_is_cut_and_still_ends(tokeniser):
    ids, attends = tokeniser.encode(["a seven moves left " * 10, "a one grows"], max_length=6)
    assert ids.shape == (2, 6)
    assert ids[0, 0] == tokeniser.cls
    assert ids[0, -1] == tokeniser.sep
    assert attends[0].all()


def test_the_same_captions_give_the_same_vocabulary(captions):
    one, other = (train_tokeniser(captions, vocab_size=60).tokeniser.get_vocab() for _ in range(2))
    assert one == other
    assert len(one) <= 60


def test_it_is_kept_in_a_file(tokeniser, captions, tmp_path):
    tokeniser.save(tmp_path / "vocabulary.json")
    loaded = CaptionTokeniser.load(tmp_path / "vocabulary.json")
    assert torch.equal(loaded.encode(captions)[0], tokeniser.encode(captions)[0])
    assert loaded.mask == tokeniser.mask


def test_a_vocabulary_of_bert_is_read(tmp_path):
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "seven", "move", "##s", "left"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), "utf-8")
    tokeniser = CaptionTokeniser.load(tmp_path / "vocab.txt")
    ids, _ = tokeniser.encode(["a seven moves left", "A dog"])
    theirs = transformers.BertTokenizer(str(tmp_path / "vocab.txt"))
    assert ids.tolist() == theirs(["a seven moves left", "A dog"], padding=True)["input_ids"]
    assert (tokeniser.cls, tokeniser.mask) == (3, 5)


def test_what_cannot_be_is_refused_by_name(tokeniser, tmp_path):
    with pytest.raises(ValueError, match=r"captions: expected a list of at least one caption, got \[\]"):
        tokeniser.encode([])
    with pytest.raises(ValueError, match="captions: expected a list of at least one caption, got 'a seven'"):
        tokeniser.encode("a seven")
    with pytest.raises(ValueError, match="max_length: expected at least 3, for"):
        tokeniser.encode(["a"], max_length=2)
    with pytest.raises(FileNotFoundError, match=r"path: no vocabulary at .*nowhere"):
        CaptionTokeniser.load(tmp_path / "nowhere.json")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\na", "utf-8")
    with pytest.raises(ValueError, match=r"vocabulary: expected .* but \[CLS\] is missing"):
        CaptionTokeniser.load(tmp_path / "vocab.txt")
    assert SPECIAL[0] == "[PAD]"


def test_without_tokenizers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install 'vmamba-edu\[lab\]'"):
        train_tokeniser(["a"])

"""From captions to numbers: a WordPiece vocabulary, learnt from the captions themselves.

A vocabulary for "a seven moves left" has a few dozen entries, and its text encoder fits a laptop; BERT's own has
30,522, and is read as well (`CaptionTokeniser.load`), where a released text encoder is to be used.

Source: BERT (arXiv 1810.04805) §3, input representation; the work is done by the library `tokenizers`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4 of a vocabulary that is learnt here


class CaptionTokeniser:
    """Captions to token ids and back; make one with `train_tokeniser` or `CaptionTokeniser.load`.

    Args:
        tokeniser: a `tokenizers.Tokenizer` that knows the five special tokens and puts [CLS] first and [SEP] last.

    Raises:
        ValueError: a special token is missing.
    """

    def __init__(self, tokeniser: Any):
        self.tokeniser = tokeniser
        ids = [tokeniser.token_to_id(token) for token in SPECIAL]
        if missing := [token for token, number in zip(SPECIAL, ids, strict=True) if number is None]:
            raise ValueError(f"tokeniser: expected {', '.join(SPECIAL)} in its vocabulary, but {missing[0]} is missing")
        self.pad, self.unknown, self.cls, self.sep, self.mask = ids

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return self.tokeniser.get_vocab_size()

    def encode(
        self, captions: Sequence[str], max_length: int = 32
    ) -> tuple[Int64[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
        """Ids of the captions, padded to the longest of them, and where there is a token and no padding.

        Args:
            captions: at least one.
            max_length: with [CLS] and [SEP]; what is longer is cut.

        Raises:
            ValueError: there is no caption, or there is no room for a word.
        """
        if not captions or isinstance(captions, str):
            raise ValueError(f"captions: expected a list of at least one caption, got {captions!r}")
        if max_length < 3:
            raise ValueError(f"max_length: expected at least 3, for [CLS], a word and [SEP], got {max_length}")
        lists = [self._cut(self.tokeniser.encode(caption).ids, max_length) for caption in captions]
        ids = torch.full((len(lists), max(map(len, lists))), self.pad)
        for row, numbers in zip(ids, lists, strict=True):
            row[: len(numbers)] = torch.tensor(numbers)
        return ids, ids != self.pad

    def decode(self, ids: Int64[Tensor, "batch length"]) -> list[str]:
        """The captions of these ids, without special tokens."""
        return [self.tokeniser.decode(row) for row in ids.tolist()]

    def save(self, path: str | Path) -> None:
        """Write everything to one JSON file, which `load` reads."""
        self.tokeniser.save(str(path))

    @classmethod
    def load(cls, path: str | Path) -> "CaptionTokeniser":
        """From a JSON file that `save` wrote, or from a `vocab.txt` of BERT's (lower case).

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it lacks a special token.
            ImportError: tokenizers is not installed (extra `lab`).
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"path: no vocabulary at {path}; write one with CaptionTokeniser.save")
        if Path(path).suffix == ".json":
            return cls(_tokenizers().Tokenizer.from_file(str(path)))
        words = Path(path).read_text("utf-8").splitlines()
        return cls(_assemble({word: number for number, word in enumerate(words)}))

    def _cut(self, ids: list[int], max_length: int) -> list[int]:
        return ids if len(ids) <= max_length else [*ids[: max_length - 1], self.sep]


def train_tokeniser(captions: Iterable[str], vocab_size: int = 1000) -> CaptionTokeniser:
    """A WordPiece vocabulary for these captions: the same captions give the same vocabulary.

    Args:
        captions: letters are made lower case and accents dropped, as BERT does.
        vocab_size: at most so many tokens, the five special ones and single letters included.

    Raises:
        ImportError: tokenizers is not installed (extra `lab`).
    """
    learner, captions = _assemble(None), list(captions)
    # The trainer numbers letters inside words as its hash table meets them, and breaks ties by number: two runs, two
    # vocabularies. Named beforehand, in order, they have their numbers.
    trainer = _tokenizers().trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=1,
        special_tokens=[*SPECIAL, *_letters_inside_words(learner, captions)],
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer)
    return CaptionTokeniser(_assemble(learner.get_vocab()))


def _letters_inside_words(tokeniser: Any, captions: Iterable[str]) -> list[str]:
    normalised = (tokeniser.normalizer.normalize_str(caption) for caption in captions)
    words = {word for caption in normalised for word, _ in tokeniser.pre_tokenizer.pre_tokenize_str(caption)}
    return [f"##{letter}" for letter in sorted({letter for word in words for letter in word[1:]})]


def _assemble(vocabulary: dict[str, int] | None) -> Any:
    """BERT's tokeniser on a vocabulary; without one, what learns it."""
    tokenizers = _tokenizers()
    model = tokenizers.models.WordPiece(vocabulary or {}, unk_token="[UNK]")
    tokeniser = tokenizers.Tokenizer(model)
    tokeniser.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokeniser.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokeniser.decoder = tokenizers.decoders.WordPiece()
    if vocabulary is None:
        return tokeniser
    if missing := [token for token in SPECIAL if token not in vocabulary]:
        raise ValueError(f"vocabulary: expected {', '.join(SPECIAL)} in it, but {missing[0]} is missing")
    tokeniser.add_special_tokens(list(SPECIAL))
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokeniser.post_processor = tokenizers.processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokeniser


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError("captions need tokenizers: pip install 'vmamba-edu[lab]'") from error
    return tokenizers

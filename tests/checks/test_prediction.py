"""A prediction answers each choice in its own words."""

import pytest

from vmamba_edu import checks
from vmamba_edu.checks import Prediction, compared

PREDICTIONS = {name: one for name, one in vars(checks).items() if isinstance(one, Prediction)}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_each_answer_has_a_reply_of_its_own(name: str) -> None:
    prediction = PREDICTIONS[name]
    replies = {letter: prediction(letter) for letter in prediction.replies}
    assert len(set(replies.values())) == len(replies) >= 3
    assert [letter for letter, reply in replies.items() if reply.startswith("Yes")] == [prediction.right]


def test_a_letter_that_is_none_is_refused() -> None:
    prediction = Prediction("a", {"a": "so it is.", "b": "it is not."})
    assert prediction(" A ") == "Yes: so it is."
    with pytest.raises(ValueError, match="choice: expected one of 'a', 'b', got 'c'"):
        prediction("c")


@pytest.mark.parametrize(
    ("expected", "came", "said"),
    [
        (5, 5, "5, exactly what you expected"),
        (10, 5, "5; you expected 10, 2.0 times as much"),
        (2, 5, "5; you expected 2, 2.5 times as little"),
        (5.1, 5, "5; you expected 5.1, which is close"),
        (-1, 5, "5; you expected -1"),
        (0, 5, "5; you expected 0"),
    ],
)
def test_a_number_is_compared(expected: float, came: float, said: str) -> None:
    assert compared(expected, came) == said

"""The exercises of lesson 07 with real kernels: each mistake, made in Triton, is the one that the check names."""

import functools

import pytest

pytest.importorskip("triton", reason="needs triton")

import torch
import triton_answers as answers

from vmamba_edu.checks import WrongAnswer, carry_kernel, join, scan_kernel, tile_kernel, written
from vmamba_edu.checks.gpu_carry import partial_kernel
from vmamba_edu.checks.triton_exercise import TritonExercise

# In the order of each exercise's mistakes.
WRONG = {
    "tile_kernel": [
        "the same tile",
        "first tokens",
        "memory order",
        "whole tiles",
        "no bias",
        "no u",
        "bias late",
    ],
    "scan_kernel": ["late", "no memory", "no step", "sign", "euler", "first channels", "backwards"],
    "carry_kernel": ["after", "from zero", "no fading", "ends alone", "next decay", "first channels"],
}
MADE = [
    (exercise, number, wrong)
    for exercise in (tile_kernel, scan_kernel, carry_kernel)
    for number, wrong in enumerate(WRONG[exercise.name])
]
WRONG_JOINS = (
    answers.join_earlier_fades_later,
    answers.join_without_fading,
    answers.join_added_decays,
    answers.join_later_alone,
    answers.join_last_decay,
    answers.join_exchanged,
)


def with_mistake(exercise: TritonExercise, wrong: str):
    """A function on tensors that starts the kernel with this mistake."""
    kernel = partial_kernel(getattr(answers, exercise.name), wrong)
    return functools.partial(exercise.launch, kernel)


@pytest.mark.parametrize("exercise", [tile_kernel, scan_kernel, carry_kernel, join], ids=lambda one: one.name)
def test_a_right_kernel_is_taken(exercise: TritonExercise) -> None:
    for seed in range(3):
        assert exercise(getattr(answers, exercise.name), seed=seed) == f"{exercise.name}: right, on 5 fresh inputs."


@pytest.mark.parametrize(("exercise", "number", "wrong"), MADE, ids=[f"{one.name}: {wrong}" for one, _, wrong in MADE])
def test_each_mistake_made_in_triton_is_named(exercise: TritonExercise, number: int, wrong: str) -> None:
    assert len(exercise.mistakes) == len(WRONG[exercise.name])
    with pytest.raises(WrongAnswer) as caught:
        exercise(with_mistake(exercise, wrong), seed=0)
    assert str(caught.value) == f"{exercise.name}: {exercise.mistakes[number].message}"


@pytest.mark.parametrize(
    ("number", "function"), list(enumerate(WRONG_JOINS)), ids=[one.fn.__name__ for one in WRONG_JOINS]
)
def test_each_wrong_join_is_named(number: int, function) -> None:
    if torch.cuda.is_available() and number in (2, 4):
        pytest.skip("not associative: what a GPU's tree makes of it is another thing")
    assert len(join.mistakes) == len(WRONG_JOINS)
    with pytest.raises(WrongAnswer) as caught:
        join(function, seed=0)
    assert str(caught.value) == f"join: {join.mistakes[number].message}"


def test_a_stub_says_that_it_is_not_written_in_either_mode() -> None:
    with pytest.raises(NotImplementedError, match="join is not written yet"):
        join(answers.stub)
    with pytest.raises(NotImplementedError, match="stub is not written yet"):
        written(answers.join, answers.stub)
    written(answers.join, answers.scan_kernel)


def test_a_kernel_without_its_decorator_is_told() -> None:
    with pytest.raises(WrongAnswer, match=r"scan_kernel: this is a plain Python function. Write @triton\.jit"):
        scan_kernel(answers.undecorated)


def test_a_store_without_a_mask_is_noticed() -> None:
    with pytest.raises(WrongAnswer, match=r"tile_kernel: it wrote beyond its output\. tl\.store needs a mask"):
        tile_kernel(with_mistake(tile_kernel, "no mask"))


def test_a_load_without_a_mask_is_noticed_where_it_matters() -> None:
    with pytest.raises(WrongAnswer, match=r"tile_kernel: it read beyond one of its inputs.*tl\.load needs a mask"):
        tile_kernel(answers.reads_beyond)


def test_what_fails_inside_a_kernel_is_told() -> None:
    with pytest.raises(WrongAnswer, match="join: it raised"):
        join(answers.scan_kernel)

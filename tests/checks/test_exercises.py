"""Each exercise's check: takes every right answer, and tells every listed mistake from the others."""

import pytest
import torch

from vmamba_edu.checks import EXERCISES, Exercise, Mistake, WrongAnswer

BY_NAME = {"argvalues": EXERCISES, "ids": [exercise.name for exercise in EXERCISES]}
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]
RIGHT = [(exercise, variant) for exercise in EXERCISES for variant in (exercise.solution, *exercise.variants)]
SEEDS = range(20)


@pytest.mark.parametrize("exercise", **BY_NAME)
def test_an_exercise_lists_what_people_do(exercise: Exercise) -> None:
    assert len(exercise.mistakes) >= 4
    assert len(exercise.variants) >= 2
    messages = [mistake.message for mistake in exercise.mistakes]
    assert len(set(messages)) == len(messages)
    assert all(message.endswith(".") for message in messages)


@pytest.mark.parametrize(("exercise", "answer"), RIGHT, ids=[exercise.name for exercise, _ in RIGHT])
def test_right_answers_are_taken_however_they_look(exercise: Exercise, answer) -> None:
    for seed in SEEDS:
        assert exercise(answer, seed=seed).startswith(f"{exercise.name}: right")
        # People compute in single precision too.
        exercise(lambda *given: in_single_precision(answer, given), seed=seed)


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=[exercise.name for exercise, _ in MISTAKES])
def test_each_mistake_is_named(exercise: Exercise, mistake: Mistake) -> None:
    for seed in SEEDS:
        with pytest.raises(WrongAnswer) as caught:
            exercise(mistake.answer, seed=seed)
        assert str(caught.value) == f"{exercise.name}: {mistake.message}"


@pytest.mark.parametrize("exercise", **BY_NAME)
def test_what_is_no_answer_says_so(exercise: Exercise) -> None:
    def stub(*given):
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        exercise(stub)
    with pytest.raises(WrongAnswer, match=r"it returned None.*is there a return at its end"):
        exercise(lambda *given: None)
    with pytest.raises(WrongAnswer, match="it returned str, which is no tensor"):
        exercise(lambda *given: "42")
    with pytest.raises(WrongAnswer, match="expected the shape"):
        exercise(lambda *given: torch.zeros(2, 2, 2, 2))
    with pytest.raises(WrongAnswer, match=r"it raised ZeroDivisionError: division by zero\. It was given"):
        exercise(lambda *given: 1 / 0)


@pytest.mark.parametrize("exercise", **BY_NAME)
def test_an_unknown_mistake_is_shown_where_it_is(exercise: Exercise) -> None:
    def nearly(*given):
        results = exercise.solution(*given)
        single = isinstance(results, torch.Tensor)
        first = (results if single else results[0]).clone()
        first.flatten()[-1] += 1
        return first if single else (first, *results[1:])

    with pytest.raises(WrongAnswer, match=r"at index .* expected .*, got .* It is like no mistake we know"):
        exercise(nearly)


def test_changing_an_argument_is_noticed() -> None:
    exercise = next(one for one in EXERCISES if one.name == "causal_convolution")

    def careless(u, K):
        right = exercise.solution(u, K)
        u += 1
        return right

    with pytest.raises(WrongAnswer, match="it changed its argument u"):
        exercise(careless)


def test_the_same_seed_draws_the_same_inputs_and_no_seed_others() -> None:
    exercise, seen = EXERCISES[0], []

    def note(A):
        seen.append(A)
        return exercise.solution(A)

    for seed in (1, 1, None, None):
        exercise(note, seed=seed)
    first, second, third, fourth = (torch.stack(seen[i : i + 5]) for i in (0, 5, 10, 15))
    assert torch.equal(first, second)
    assert not torch.equal(third, fourth)


def in_single_precision(answer, given):
    single = {torch.float64: torch.float32, torch.complex128: torch.complex64}
    return answer(*(x.to(single[x.dtype]) if isinstance(x, torch.Tensor) else x for x in given))

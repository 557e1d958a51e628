"""What stands in the README runs exactly as it is pasted from there."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_there_is_one() -> None:
    assert SNIPPETS


@pytest.mark.slow
@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: dict = {}
    exec(compile(snippet, str(README), "exec"), seen)
    assert seen["probabilities"].shape == (1, 12)
    assert seen["probabilities"].sum().item() == pytest.approx(1)
    assert seen["heard"].shape == (1, 1, 1, 1, 1569)
    assert seen["half_lives"].shape == (1, 384, 16, 1569)
    assert seen["half_lives"].min() > 0

"""The lessons are their sources, byte for byte; and whatever a notebook must not be stored with is caught."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from jupytext.cli import jupytext
from nbformat.v4 import new_output

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "notebooks" / "src").glob("*.py"))
SOURCE = """\
# %% [markdown]
# # A lesson
#
# Predict: what is $h_1$?

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "first", "points": 2}
# %matplotlib inline
h = 1

# %% [markdown] tags=["hint"]
# It is one.
"""


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """notebooks/build.py, which is a script and not part of a package."""
    spec = importlib.util.spec_from_file_location("build_lessons", ROOT / "notebooks" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def notebooks(tmp_path: Path, build: ModuleType) -> Path:
    """A folder with one built lesson."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "03_a_lesson.py").write_text(SOURCE, "utf-8")
    build.main([], tmp_path)
    return tmp_path


def doctor(notebook: Path, change) -> None:
    content = nbformat.read(notebook, as_version=4)
    change(content)
    nbformat.write(content, notebook)


HEAD_OF_A_LESSON = """\
# %% [markdown]
# # 04 · Another
#
# | | |
# |---|---|
# | **You will be able to** | see $h$ |
# | **Minutes** | 7 |
"""


def test_the_index_has_each_lesson_one_click_away(notebooks, build):
    """The project's own index, and one that gains a lesson."""
    table = build.table_of_lessons(ROOT / "notebooks" / "src")
    index = nbformat.read(ROOT / "notebooks" / "index.ipynb", as_version=4).cells[0].source
    assert "\n".join(table) in index
    for lesson in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert index.count(f"]({lesson.name})") == 1
    (notebooks / "src" / "03_a_lesson.py").write_text(HEAD_OF_A_LESSON.replace("04", "03"), "utf-8")
    (notebooks / "src" / "04_another.py").write_text(HEAD_OF_A_LESSON, "utf-8")
    assert build.table_of_lessons(notebooks / "src")[-1] == "| [04 · Another](04_another.ipynb) | see $h$ | 7 |"


def test_a_lesson_without_a_head_cannot_be_in_the_index(notebooks, build):
    with pytest.raises(ValueError, match=r"03_a_lesson\.py: expected a title, .*Minutes"):
        build.table_of_lessons(notebooks / "src")


@pytest.mark.parametrize("source", LESSONS, ids=lambda path: path.stem)
def test_each_lesson_is_built_byte_for_byte_from_its_source(build, source):
    assert (source.parents[1] / f"{source.stem}.ipynb").read_bytes() == build.build(source).encode()


def test_the_lessons_and_their_sources_agree(build):
    assert build.problems(ROOT / "notebooks") == []


def test_what_the_source_says_is_in_the_notebook(notebooks):
    content = json.loads((notebooks / "03_a_lesson.ipynb").read_text("utf-8"))
    text, code, hint = content["cells"]
    assert "".join(text["source"]) == "# A lesson\n\nPredict: what is $h_1$?"
    assert "".join(code["source"]) == "%matplotlib inline\nh = 1"
    assert code["metadata"] == {
        "tags": ["raises-exception"],
        "nbgrader": {"grade": True, "grade_id": "first", "points": 2},
    }
    assert hint["metadata"] == {"tags": ["hint"]}


def test_ids_follow_from_lesson_and_position(notebooks):
    content = nbformat.read(notebooks / "03_a_lesson.ipynb", as_version=4)
    assert [cell.id for cell in content.cells] == ["03-a-lesson-000", "03-a-lesson-001", "03-a-lesson-002"]


def test_the_stored_notebook_is_valid_and_ends_with_one_newline(notebooks):
    text = (notebooks / "03_a_lesson.ipynb").read_text("utf-8")
    nbformat.validate(nbformat.reads(text, as_version=4))
    assert text.endswith("}\n")


def with_output(content):
    content.cells[1].outputs = [new_output("stream", text="42")]


def with_count(content):
    content.cells[1].execution_count = 3


def with_widget_state(content):
    content.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}


def with_another_language(content):
    content.metadata["language_info"]["version"] = "3.13.1"


def with_other_words(content):
    content.cells[0].source += "!"


def with_another_id(content):
    content.cells[2]["id"] = "a1b2c3"


def with_another_tag(content):
    content.cells[2].metadata["tags"] = []


def with_a_cell_less(content):
    content.cells.pop()


LEFT_BEHIND = [with_output, with_count, with_widget_state, with_another_language]
CHANGED = [with_other_words, with_another_id, with_another_tag, with_a_cell_less]


@pytest.mark.parametrize("change", LEFT_BEHIND + CHANGED)
def test_a_doctored_notebook_is_caught_and_building_mends_it(build, notebooks, capsys, change):
    lesson = notebooks / "03_a_lesson.ipynb"
    before = lesson.read_bytes()
    doctor(lesson, change)
    assert build.main(["--check"], notebooks) == 1
    said = capsys.readouterr().out
    assert "03_a_lesson.ipynb" in said
    assert "make notebooks" in said
    assert build.main([], notebooks) == 0
    assert lesson.read_bytes() == before
    assert build.main(["--check"], notebooks) == 0


def test_a_changed_source_is_caught(build, notebooks):
    source = notebooks / "src" / "03_a_lesson.py"
    source.write_text(SOURCE.replace("h = 1", "h = 2"), "utf-8")
    assert "03_a_lesson" in build.problems(notebooks)[0]


def test_a_missing_notebook_and_a_missing_source_are_caught(build, notebooks):
    (notebooks / "03_a_lesson.ipynb").rename(notebooks / "04_stray.ipynb")
    stray, missing = build.problems(notebooks)
    assert "04_stray.ipynb has no source" in stray
    assert "03_a_lesson.ipynb is missing" in missing


@pytest.mark.parametrize("change", LEFT_BEHIND)
def test_stripping_removes_what_running_left_behind(build, notebooks, change):
    lesson = notebooks / "03_a_lesson.ipynb"
    before = lesson.read_bytes()
    doctor(lesson, change)
    assert build.main(["--strip", str(lesson)], notebooks) == 0
    assert lesson.read_bytes() == before


@pytest.mark.parametrize("change", CHANGED)
def test_stripping_keeps_words_ids_and_tags(build, notebooks, change):
    lesson = notebooks / "03_a_lesson.ipynb"
    doctor(lesson, change)
    before = nbformat.read(lesson, as_version=4)
    build.main(["--strip", str(lesson)], notebooks)
    assert nbformat.read(lesson, as_version=4) == before


def test_an_author_who_saves_in_jupyterlab_gets_a_source_that_builds_the_same_lesson(build, notebooks):
    """The pairing of jupytext.toml: what it writes to src/ after a notebook was saved must say the same."""
    before = (notebooks / "03_a_lesson.ipynb").read_bytes()
    (notebooks / "jupytext.toml").write_bytes((ROOT / "notebooks" / "jupytext.toml").read_bytes())
    doctor(notebooks / "03_a_lesson.ipynb", with_output)
    (notebooks / "src" / "03_a_lesson.py").unlink()
    jupytext(["--sync", "--quiet", str(notebooks / "03_a_lesson.ipynb")])
    source = (notebooks / "src" / "03_a_lesson.py").read_text("utf-8")
    assert "jupytext_version" not in source
    assert build.build(notebooks / "src" / "03_a_lesson.py").encode() == before

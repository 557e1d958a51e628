"""The reader's copies of the lessons: nothing that the reader made is ever lost."""

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from vmamba_edu.workspace import EARLIER, MANIFEST, digest, find_lessons, refresh

NAME = "00_first_light.ipynb"


@pytest.fixture
def lessons(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write(folder / NAME, "x = 1")
    write(folder / "01_next.ipynb", "y = 1")
    return folder


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    return tmp_path / "my-lessons"


def write(path: Path, code: str, outputs: bool = False) -> None:
    """A notebook of one sentence and one line of code, with or without what running it leaves behind."""
    cell = new_code_cell(code)
    if outputs:
        cell.outputs, cell.execution_count = [new_output("stream", text="42\n")], 1
    nbformat.write(new_notebook(cells=[new_markdown_cell("A lesson."), cell]), path)


def code_of(path: Path) -> str:
    return nbformat.read(path, as_version=4).cells[1].source


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.ipynb")}


def sentences(changes: list) -> str:
    return " ".join(change.sentence for change in changes)


def test_the_first_time_every_lesson_is_copied_and_nothing_need_be_said(lessons, copies):
    changes = refresh(lessons, copies)
    assert [change.path.name for change in changes] == [NAME, "01_next.ipynb"]
    assert sentences(changes).strip() == ""
    assert (copies / NAME).read_bytes() == (lessons / NAME).read_bytes()


def test_the_second_time_nothing_is_written(lessons, copies):
    refresh(lessons, copies)
    before = {path.name: path.stat().st_mtime_ns for path in copies.glob("*.ipynb")}
    assert refresh(lessons, copies) == []
    assert {path.name: path.stat().st_mtime_ns for path in copies.glob("*.ipynb")} == before


def test_an_untouched_copy_follows_its_lesson(lessons, copies):
    refresh(lessons, copies)
    write(lessons / NAME, "x = 2")
    changes = refresh(lessons, copies)
    assert code_of(copies / NAME) == "x = 2"
    assert [change.path.name for change in changes] == [NAME]
    assert not (copies / EARLIER).exists()


def test_a_changed_copy_stays_while_the_lesson_is_the_same(lessons, copies):
    refresh(lessons, copies)
    write(copies / NAME, "x = 'mine'", outputs=True)
    assert refresh(lessons, copies) == []
    assert code_of(copies / NAME) == "x = 'mine'"


def test_beside_a_changed_copy_the_newer_version_is_placed_once_and_said_so(lessons, copies):
    refresh(lessons, copies)
    write(copies / NAME, "x = 'mine'")
    write(lessons / NAME, "x = 2")
    changes = refresh(lessons, copies)
    assert code_of(copies / NAME) == "x = 'mine'"
    assert code_of(copies / "00_first_light.new.ipynb") == "x = 2"
    assert "00_first_light.new.ipynb" in sentences(changes)
    (copies / "00_first_light.new.ipynb").unlink()  # not wanted
    assert refresh(lessons, copies) == []
    assert names(copies) == {NAME, "01_next.ipynb"}


@pytest.mark.parametrize("run", [False, True])
def test_an_untouched_offer_follows_the_lesson_and_keeps_its_outputs(lessons, copies, run):
    refresh(lessons, copies)
    write(copies / NAME, "x = 'mine'")
    write(lessons / NAME, "x = 2")
    refresh(lessons, copies)
    if run:
        write(copies / "00_first_light.new.ipynb", "x = 2", outputs=True)
    write(lessons / NAME, "x = 3")
    refresh(lessons, copies)
    assert code_of(copies / NAME) == "x = 'mine'"
    assert code_of(copies / "00_first_light.new.ipynb") == "x = 3"
    assert (copies / EARLIER / "00_first_light.new.ipynb").exists() == run


def test_an_offer_that_the_reader_changed_stays_too(lessons, copies):
    refresh(lessons, copies)
    write(copies / NAME, "x = 'mine'")
    write(lessons / NAME, "x = 2")
    refresh(lessons, copies)
    write(copies / "00_first_light.new.ipynb", "x = 'mine too'")
    write(lessons / NAME, "x = 3")
    refresh(lessons, copies)
    found = {name: code_of(copies / name) for name in names(copies) if name.startswith("00")}
    assert found == {
        NAME: "x = 'mine'",
        "00_first_light.new.ipynb": "x = 'mine too'",
        "00_first_light.new.2.ipynb": "x = 3",
    }


def test_a_copy_that_was_only_run_makes_way_and_its_outputs_are_kept(lessons, copies):
    refresh(lessons, copies)
    write(copies / NAME, "x = 1", outputs=True)
    ran = (copies / NAME).read_bytes()
    assert refresh(lessons, copies) == []
    write(lessons / NAME, "x = 2")
    changes = refresh(lessons, copies)
    assert code_of(copies / NAME) == "x = 2"
    assert (copies / EARLIER / NAME).read_bytes() == ran
    assert f"{EARLIER}/{NAME}" in sentences(changes)


def test_earlier_outputs_never_replace_one_another(lessons, copies):
    for version in (1, 2, 3):
        write(lessons / NAME, f"x = {version}")
        refresh(lessons, copies)
        write(copies / NAME, f"x = {version}", outputs=True)
    refresh(lessons, copies)
    assert {code_of(path) for path in (copies / EARLIER).iterdir()} == {"x = 1", "x = 2"}


def test_saving_without_changing_the_text_is_no_change(lessons, copies):
    refresh(lessons, copies)
    notebook = nbformat.read(copies / NAME, as_version=4)
    notebook.metadata["language_info"] = {"name": "python", "version": "3.13.1"}
    notebook.cells[1]["id"], notebook.cells[1].metadata["scrolled"] = "another", True
    nbformat.write(notebook, copies / NAME)
    write(lessons / NAME, "x = 2")
    refresh(lessons, copies)
    assert code_of(copies / NAME) == "x = 2"
    assert not (copies / EARLIER).exists()


def test_a_reader_who_made_the_same_change_is_up_to_date(lessons, copies):
    refresh(lessons, copies)
    write(copies / NAME, "x = 2")
    write(lessons / NAME, "x = 2")
    assert refresh(lessons, copies) == []
    write(lessons / NAME, "x = 3")
    refresh(lessons, copies)
    assert code_of(copies / NAME) == "x = 3"


def test_a_deleted_copy_comes_back_afresh_and_is_said_so(lessons, copies):
    refresh(lessons, copies)
    write(copies / NAME, "x = 'mine'")
    (copies / NAME).unlink()
    changes = refresh(lessons, copies)
    assert code_of(copies / NAME) == "x = 1"
    assert "fresh" in sentences(changes)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"lessons": 3}', '{"lessons": {"00_first_light.ipynb": 3}}', None])
def test_without_its_memory_a_differing_copy_counts_as_changed(lessons, copies, damage):
    refresh(lessons, copies)
    if damage is None:
        (copies / MANIFEST).unlink()
    else:
        (copies / MANIFEST).write_text(damage)
    write(lessons / NAME, "x = 2")
    refresh(lessons, copies)
    assert code_of(copies / NAME) == "x = 1"
    assert code_of(copies / "00_first_light.new.ipynb") == "x = 2"
    assert refresh(lessons, copies) == []


def test_without_its_memory_an_equal_copy_is_adopted(lessons, copies):
    refresh(lessons, copies)
    (copies / MANIFEST).unlink()
    assert refresh(lessons, copies) == []
    write(lessons / NAME, "x = 2")
    refresh(lessons, copies)
    assert code_of(copies / NAME) == "x = 2"


@pytest.mark.parametrize("content", [b"", b"not a notebook", b'{"cells": [3]}', b'{"cells": [{"source": 3}]}', b"\xff"])
def test_a_copy_that_is_no_notebook_any_more_is_left_alone(lessons, copies, content):
    refresh(lessons, copies)
    (copies / NAME).write_bytes(content)
    write(lessons / NAME, "x = 2")
    refresh(lessons, copies)
    assert (copies / NAME).read_bytes() == content
    assert code_of(copies / "00_first_light.new.ipynb") == "x = 2"


def test_the_readers_own_notebooks_are_not_touched(lessons, copies):
    refresh(lessons, copies)
    write(copies / "00_my_notes.ipynb", "z = 1")
    write(lessons / NAME, "x = 2")
    refresh(lessons, copies)
    assert code_of(copies / "00_my_notes.ipynb") == "z = 1"


def test_a_lesson_that_was_withdrawn_stays_with_the_reader(lessons, copies):
    refresh(lessons, copies)
    (lessons / NAME).unlink()
    assert refresh(lessons, copies) == []
    assert code_of(copies / NAME) == "x = 1"


def test_no_unfinished_file_is_left(lessons, copies):
    refresh(lessons, copies)
    assert {path.name for path in copies.iterdir()} == {NAME, "01_next.ipynb", MANIFEST}
    assert set(json.loads((copies / MANIFEST).read_text())["lessons"]) == {NAME, "01_next.ipynb"}


def test_a_folder_without_lessons_is_an_error_that_says_what_to_give(tmp_path):
    with pytest.raises(ValueError, match="notebooks"):
        find_lessons(tmp_path)


def test_the_digest_reads_lists_and_strings_of_lines_alike():
    lines = {"cells": [{"cell_type": "code", "source": ["a\n", "b"]}]}
    whole = {"cells": [{"cell_type": "code", "source": "a\nb"}]}
    assert digest(json.dumps(lines).encode()) == digest(json.dumps(whole).encode())


def test_the_digest_tells_code_from_text():
    code = {"cells": [{"cell_type": "code", "source": "a"}]}
    text = {"cells": [{"cell_type": "markdown", "source": "a"}]}
    assert digest(json.dumps(code).encode()) != digest(json.dumps(text).encode())

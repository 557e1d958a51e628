"""The commands, each on real files: a recipe, a run, videos."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from recipes.small_recipes import CLASSIFY, RETRIEVE, write_digit, write_recipe

from vmamba_edu import cli
from vmamba_edu.training.checkpointing import BEST, LAST, open_checkpoint
from vmamba_edu.training.logs import TRAINING, VALIDATION, read_rows
from vmamba_edu.video import MOTIONS

CHANCE = 1 / len(MOTIONS)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a run that `vmamba-edu train` made: 120 steps."""
    folder = tmp_path_factory.mktemp("run")
    assert cli.main(["train", str(write_recipe(folder, CLASSIFY)), "--run-folder", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    """The folder of a run of video and text: two steps, enough to be used, too few to be right."""
    folder = tmp_path_factory.mktemp("words")
    assert cli.main(["train", str(write_recipe(folder, RETRIEVE)), "--run-folder", str(folder / "out")]) == 0
    return folder / "out"


@pytest.mark.slow
def test_a_videomamba_learns_motions_that_no_single_frame_tells(run):
    """120 steps, one seed. Chance is 8 %; who saw single frames only could tell the six pairs at best, half of them."""
    measured = read_rows(run / VALIDATION)
    assert measured[-1]["accuracy"] > 3 * CHANCE
    assert measured[-1]["loss"] < measured[0]["loss"]
    assert len(read_rows(run / TRAINING)) == 8 * 15


def test_the_run_is_whole(run):
    assert {path.name for path in run.iterdir()} == {LAST, BEST, TRAINING, VALIDATION}
    assert open_checkpoint(run / BEST)["metadata"]["classes"] == list(MOTIONS)


def test_training_again_says_what_to_do(run, capsys):
    recipe = str(run.parent / "recipe.toml")
    assert cli.main(["train", recipe, "--run-folder", str(run)]) == 2
    assert "holds a run already; resume it, or give another folder" in one_line(capsys)
    assert cli.main(["train", recipe, "--run-folder", str(run), "--resume"]) == 0
    assert "finished after 120 steps" in capsys.readouterr().out


def test_evaluate_says_top_1_and_top_5(run, capsys):
    assert cli.main(["evaluate", str(run)]) == 0
    said = capsys.readouterr().out
    assert "validation: 60 videos, 1 view each" in said
    top1 = float(re.search(r"top-1 ([\d.]+) %", said)[1])
    assert top1 == pytest.approx(100 * max(row["accuracy"] for row in read_rows(run / VALIDATION)), abs=0.01)
    assert cli.main(["evaluate", str(run / LAST), "--split", "test"]) == 0
    assert "test: 60 videos" in capsys.readouterr().out


def test_classify_names_five_classes_with_probabilities(run, tmp_path, capsys):
    video = write_digit(tmp_path / "film.mp4", 7, "left")
    assert cli.main(["classify", str(video), "--checkpoint", str(run)]) == 0
    rows = [line.split(" %  ") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 5
    probabilities = [float(row[0]) for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) <= 100.05
    assert {row[1] for row in rows} < set(MOTIONS)


def test_classify_takes_views_and_names_of_ones_own(run, tmp_path, capsys):
    video = write_digit(tmp_path / "film.mp4", 7, "left")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"class {i}" for i in range(12)))
    arguments = [
        "classify",
        str(video),
        "--checkpoint",
        str(run / BEST),
        "--chunks",
        "1",
        "--crops",
        "1",
        "--top",
        "12",
    ]
    assert cli.main([*arguments, "--classes", str(names)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert sum(float(line.split()[0]) for line in said) == pytest.approx(100, abs=0.1)  # each rounded to 0.01
    assert {line.split(" %  ")[1] for line in said} == {f"class {i}" for i in range(12)}
    names.write_text("one\ntwo")
    assert cli.main([*arguments, "--classes", str(names)]) == 2
    assert "classes: expected 12 names, one for each output, got 2" in one_line(capsys)


def test_videos_of_list_files_are_trained_on_and_tested_with_views(tmp_path, capsys):
    for motion in ("left", "right"):
        for seed in range(2):
            write_digit(tmp_path / f"{motion}{seed}.mp4", 3, motion, seed)
    (tmp_path / "list.csv").write_text(
        "".join(f"{m}{s}.mp4,{i}\n" for i, m in enumerate(["left", "right"]) for s in "01")
    )
    head, rest = CLASSIFY.split("[data]")[0], CLASSIFY.split("[objective]")[1]
    lines = [f'{split} = "{tmp_path / "list.csv"}"' for split in ("train", "validation", "test")]
    data = ['[data]\nname = "videos"', *lines, f'prefix = "{tmp_path}"', 'classes = ["left", "right"]']
    text = head + "\n".join([*data, 'transform = "moving_digits"', "[objective]"]) + rest
    recipe = write_recipe(tmp_path, text, epochs="1", batch_size="2", warmup_steps="0")
    assert cli.main(["train", str(recipe), "--run-folder", str(tmp_path / "run")]) == 0
    assert cli.main(["evaluate", str(tmp_path / "run"), "--split", "test", "--chunks", "2", "--crops", "3"]) == 0
    assert "test: 4 videos, 6 views each" in capsys.readouterr().out


def test_retrieve_ranks_every_video_that_can_be_read(words, tmp_path, capsys):
    pytest.importorskip("transformers")
    (tmp_path / "deep").mkdir()
    for number, motion in enumerate(("left", "right", "grow")):
        write_digit(tmp_path / ("deep" if number else "") / f"{motion}.mp4", 7, motion)
    (tmp_path / "broken.mp4").write_text("no video")
    (tmp_path / "notes.txt").write_text("no video either")
    assert cli.main(["retrieve", "a seven moves left", "--videos", str(tmp_path), "--checkpoint", str(words)]) == 0
    captured = capsys.readouterr()
    head, *rows = captured.out.splitlines()
    assert head.split() == ["match", "cosine"]
    assert {Path(row.split()[-1]).name for row in rows} == {"left.mp4", "right.mp4", "grow.mp4"}
    assert [float(row.split()[0]) for row in rows] == sorted((float(row.split()[0]) for row in rows), reverse=True)
    assert "left out" in captured.err
    assert "broken.mp4" in captured.err


def test_each_model_has_its_command(run, words, tmp_path, capsys):
    video = write_digit(tmp_path / "film.mp4", 7, "left")
    assert cli.main(["retrieve", "a seven", "--videos", str(tmp_path), "--checkpoint", str(run)]) == 2
    assert "use classify" in one_line(capsys)
    assert cli.main(["classify", str(video), "--checkpoint", str(words)]) == 2
    assert "use retrieve" in one_line(capsys)
    assert cli.main(["evaluate", str(words), "--split", "test", "--chunks", "2"]) == 2
    assert "views: expected one of each video for a model of video and text, got 2 × 1" in one_line(capsys)


def test_evaluate_says_recall_in_both_directions_and_readings(words, capsys):
    pytest.importorskip("transformers")
    assert cli.main(["evaluate", str(words), "--split", "test"]) == 0
    head, names, *rows = capsys.readouterr().out.splitlines()
    assert head == "test: 2 galleries of 4 clips, one for each caption; by chance R@1 is 25.00 %"
    assert names.split() == ["R@1", "R@5", "R@10"]
    table = {row[:22].strip(): [float(number) for number in row[22:].split()] for row in rows}
    first, fifth, tenth = table.pop("of all 120 captions")
    assert 0 <= first <= fifth <= tenth <= 100
    assert list(table) == [f"{way}, {how}" for way in ("text → video", "video → text") for how in ("dual", "fused")]
    for first, fifth, tenth in table.values():
        assert 0 <= first <= fifth == tenth == 100  # of four none is beyond the fifth place


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "nowhere.toml"], "nowhere.toml: cannot be read (No such file or directory)"),
        (["evaluate", "nowhere.pt"], "nowhere.pt: there is no such file"),
        (["classify", "nowhere.mp4", "--checkpoint", "RUN"], "nowhere.mp4: there is no such file"),
        (
            ["classify", "x.mp4", "--checkpoint", "RUN", "--classes", "nowhere.txt"],
            "classes: nowhere.txt cannot be read",
        ),
        (["retrieve", "a", "--videos", "nowhere", "--checkpoint", "WORDS"], "there is none at nowhere"),
        (["evaluate", "RUN", "--device", "abacus"], "device: 'abacus' cannot be used"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, words, capsys, arguments, said):
    replaced = {"RUN": str(run), "WORDS": str(words)}
    assert cli.main([replaced.get(argument, argument) for argument in arguments]) == 2
    assert said in one_line(capsys)


def one_line(capsys: pytest.CaptureFixture) -> str:
    """The last line on stderr, which must be all of the message; bars of progress stand before it."""
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vmamba-edu")]
    assert len(said) == 1
    return said[0]


@pytest.mark.parametrize("command", ["train", "evaluate", "classify", "retrieve"])
def test_help_has_examples_and_comes_without_torch(command):
    call = f"from vmamba_edu import cli\ntry: cli.main([{command!r}, '--help'])"
    code = f"import sys\n{call}\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"examples:\n  vmamba-edu {command} " in done.stdout


def test_a_count_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["classify", "a.mp4", "--checkpoint", "b", "--top", "0"])
    assert ended.value.code == 2
    assert "expected a whole number of at least 1, got '0'" in capsys.readouterr().err

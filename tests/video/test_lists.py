"""Every published list is read as it is written, and a line that is wrong is named with its file and number."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmamba_edu.video.annotation_files import (
    parse_coin_annotations,
    parse_epic_kitchens,
    parse_kinetics_annotations,
    parse_moments_categories,
    parse_moments_in_time,
    parse_ssv2_annotations,
)
from vmamba_edu.video.caption_files import (
    CAPTION_SETS,
    clean_caption,
    media_numbers,
    one_caption_each,
    parse_captions,
    read_captions,
    retrieval_truth,
)
from vmamba_edu.video.image_lists import read_image_folder
from vmamba_edu.video.list_files import LIST_FORMS, ListForm, parse_list, read_list
from vmamba_edu.video.records import ListError, Record
from vmamba_edu.video.windows import cut_into_windows, sliding_windows

EXAMPLES = {
    ("path", "label"): ("clips/x.mp4,3", Record("clips/x.mp4", 3, list_file="l.csv", line=1)),
    ("path", "label", "duration"): ("x.mp4,3,152.4", Record("x.mp4", 3, duration=152.4, list_file="l.csv", line=1)),
    ("path", "value", "duration"): ("x.mp4,0.25,60", Record("x.mp4", 0.25, duration=60.0, list_file="l.csv", line=1)),
    ("folder", "num_frames", "label"): ("74225,62,3", Record("74225", 3, num_frames=62, list_file="l.csv", line=1)),
}


class TestLists:
    @pytest.mark.parametrize("name", LIST_FORMS)
    def test_every_data_set_reads_its_lines(self, name):
        form = LIST_FORMS[name]
        line, expected = next(value for columns, value in EXAMPLES.items() if columns[1:] == form.columns[1:])
        assert parse_list([line], form, list_file="l.csv")[0].__dict__ == expected.__dict__

    def test_published_examples(self):
        assert parse_list(["abseiling/abc.mp4,0"], LIST_FORMS["kinetics400"])[0].path == "abseiling/abc.mp4"
        record = parse_list(["74225 62 140"], LIST_FORMS["ssv2_frames"], separator=" ")[0]
        assert (record.path, record.num_frames, record.label) == ("74225", 62, 140)
        assert parse_list(["a/x,0"], LIST_FORMS["pretraining"])[0].path == "a/x.mp4"
        assert parse_list(["a.b/x.webm,0"], LIST_FORMS["pretraining"])[0].path == "a.b/x.webm"

    def test_classes_are_as_many_as_published(self):
        counts = {name: LIST_FORMS[f"lvu_{name}"].num_classes for name in ["relation", "speak", "scene", "director"]}
        assert counts == {"relation": 4, "speak": 5, "scene": 6, "director": 10}
        assert [LIST_FORMS[f"lvu_{name}"].num_classes for name in ("genre", "writer", "year")] == [4, 10, 9]
        assert sum(name.startswith("lvu_") for name in LIST_FORMS) == 9
        assert [name for name, form in LIST_FORMS.items() if form.regression] == ["lvu_like", "lvu_view"]

    def test_a_path_may_hold_the_separator(self):
        record = parse_list(["air drumming/a b.mp4 7"], LIST_FORMS["kinetics400"], separator=" ")[0]
        assert (record.path, record.label) == ("air drumming/a b.mp4", 7)

    def test_a_file_is_read_with_its_prefix_and_lines(self, tmp_path):
        path = tmp_path / "train.csv"
        path.write_text("a.mp4,1\n\n/elsewhere/b.mp4,2\n", "utf-8")
        records = read_list(path, "kinetics400", prefix="/data")
        assert [(record.path, record.line) for record in records] == [("/data/a.mp4", 1), ("/elsewhere/b.mp4", 3)]
        assert records[1].where == f"{path}:3"
        path.write_text("n01440764_1.JPEG 0\n", "utf-8")
        assert read_list(path, "imagenet")[0].path == "n01440764_1.JPEG"

    @given(
        rows=st.lists(
            st.tuples(st.text("abc ,.é/", min_size=1).map(str.strip).filter(bool), st.integers(0, 399)), min_size=1
        )
    )
    def test_what_is_written_is_read(self, rows):
        records = parse_list([f"{path},{label}" for path, label in rows], LIST_FORMS["kinetics400"])
        assert [(record.path, record.label) for record in records] == rows

    @pytest.mark.parametrize(
        ("line", "name", "message"),
        [
            ("a.mp4", "kinetics400", r'l.csv:2: expected "path,label" \(a path, a class number\), but got \'a.mp4\''),
            (",3", "kinetics400", 'expected "path,label"'),
            ("a.mp4 3", "kinetics400", 'expected "path,label"'),
            ("a.mp4,cat", "kinetics400", "l.csv:2: expected a class number as label, but got 'cat'"),
            ("a.mp4,400", "kinetics400", "expected a class number from 0 to 399 as label, but got '400'"),
            ("a.mp4,-1", "kinetics400", "from 0 to 399"),
            ("a,0,3", "ssv2_frames", "expected a number of frames above 0 as num_frames, but got '0'"),
            ("a.mp4,3,-1", "lvu_scene", "expected a duration in seconds above 0 as duration"),
            ("a.mp4,nan,9", "lvu_like", "expected a finite number as value"),
        ],
    )
    def test_a_wrong_line_is_named(self, line, name, message):
        with pytest.raises(ListError, match=message):
            parse_list(["x,1,1"[: 3 if name == "kinetics400" else None], line], LIST_FORMS[name], list_file="l.csv")

    def test_an_empty_list_and_an_unknown_name_are_refused(self, tmp_path):
        (tmp_path / "l.csv").write_text("\n", "utf-8")
        with pytest.raises(ValueError, match='holds no line; expected lines like "path,label"'):
            read_list(tmp_path / "l.csv", "coin")
        with pytest.raises(ValueError, match=r"data_set must be one of kinetics400, .*, but got 'kinetics'"):
            read_list(tmp_path / "l.csv", "kinetics")
        (tmp_path / "l.csv").write_text("a;5\n", "utf-8")
        assert read_list(tmp_path / "l.csv", ListForm(num_classes=6), separator=";")[0].label == 5


class TestWindows:
    def test_they_are_the_published_ones(self, reference):
        _, description = reference("10_frame_sampling")
        rows = [f"{path},{label},{duration}" for path, label, duration in description["lvu_rows"]]
        records = parse_list(rows, LIST_FORMS["lvu_scene"])
        for case in description["lvu_trimming"]:
            cut = cut_into_windows(records, case["trimmed"], case["time_stride"])
            assert [[r.path, r.label, r.start, r.end] for r in cut] == case["clips"]

    @given(duration=st.floats(0.5, 2000), length=st.integers(1, 100), stride=st.integers(1, 100))
    def test_they_lie_inside_and_are_at_least_half_as_long(self, duration, length, stride):
        windows = sliding_windows(duration, length, stride)
        if duration < length:
            assert [(window.start, window.end) for window in windows] == [(0, duration)]
            return
        for window in windows:
            assert window.end <= duration
            assert length / 2 <= window.end - window.start <= length
            assert window.start % stride == 0

    def test_seconds_become_frames_cut_to_whole_numbers(self):
        window = sliding_windows(95, 60, 16)[1]
        assert window.frames(29.97) == (479, 2277)

    def test_mistakes_are_named(self):
        with pytest.raises(ValueError, match=r"records: l.csv:4 has no duration; sliding windows need it in seconds"):
            cut_into_windows([Record("a.mp4", 1, list_file="l.csv", line=4)])
        with pytest.raises(ValueError, match="stride must be a positive number of seconds"):
            sliding_windows(10, 5, 0)


EPIC = """narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,\
stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes
P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,8,202,open door,open,3,door,3,['door'],[3]
P22_7,P22,P22_09,0,01:00:01.50,01:00:04.00,5,9,"put down knife, fork",put,1,knife,4,"['knife', 'fork']","[4, 5]"
"""


class TestAnnotations:
    def test_epic_kitchens_has_two_heads_and_a_window(self):
        first, second = parse_epic_kitchens(EPIC.splitlines(), prefix="/epic")
        assert first.path == "/epic/P01/videos/P01_01.MP4"
        assert (first.labels, first.start, first.end, first.line) == ({"verb": 3, "noun": 3}, 0.14, 3.37, 2)
        assert (second.labels, second.start, second.captions) == (
            {"verb": 1, "noun": 4},
            3601.5,
            ("put down knife, fork",),
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("verb_class", "verb_klass"), "EPIC.csv:1: expected a header with participant_id"),
            (("open,3,door", "open,97,door"), "EPIC.csv:2: expected verb_class from 0 to 96, but got 97"),
            (("open,3,door", "open,x,door"), "expected a whole number as verb_class, but got 'x'"),
            (("00:00:03.37", "3.37"), "expected a time as hours:minutes:seconds, but got '3.37'"),
            (("00:00:03.37", "00:00:00.10"), "expected stop_timestamp after start_timestamp, but got 0.14 s to 0.1 s"),
        ],
    )
    def test_a_wrong_line_of_epic_kitchens_is_named(self, change, message):
        with pytest.raises(ListError, match=message):
            parse_epic_kitchens(EPIC.replace(*change).splitlines(), list_file="EPIC.csv")

    def test_moments_in_time(self):
        categories = parse_moments_categories(["clapping,24", "adult+male+singing,7", ""])
        records = parse_moments_in_time(["clapping/a.mp4,clapping,3,1", '"x,y.mp4",adult+male+singing,2,0'], categories)
        assert [(record.path, record.label) for record in records] == [("clapping/a.mp4", 24), ("x,y.mp4", 7)]
        with pytest.raises(ListError, match=r'm.csv:1: expected "path,category,…" with one of the 2 categories'):
            parse_moments_in_time(["a.mp4,napping,1,1"], categories, list_file="m.csv")
        with pytest.raises(ListError, match=r'moments_categories.txt:2: expected "category,class number"'):
            parse_moments_categories(["clapping,24", "napping"])

    def test_kinetics_annotations(self):
        table = ["label,youtube_id,time_start,time_end,split", "zumba,ab-_12,7,17,train", "archery,x9,130,140,train"]
        records = parse_kinetics_annotations(table)
        assert [(record.path, record.label) for record in records] == [
            ("zumba/ab-_12_000007_000017.mp4", 1),
            ("archery/x9_000130_000140.mp4", 0),
        ]
        with pytest.raises(ListError, match=r"train.csv:2: expected a label among the 1 classes, but got 'zumba'"):
            parse_kinetics_annotations(table, ["archery"])
        with pytest.raises(ListError, match=r"train.csv:1: expected a header with label, .*, but got an empty file"):
            parse_kinetics_annotations([])
        with pytest.raises(ListError, match=r"train.csv:3: expected 5 columns, but got fewer"):
            parse_kinetics_annotations([*table[:2], "zumba,x"])

    def test_ssv2_annotations(self):
        labels = json.dumps({"Holding something next to something": "90", "Opening something": "46"})
        entry = {
            "id": "78687",
            "label": "holding cup next to pot",
            "template": "Holding [something] next to [something]",
        }
        record = parse_ssv2_annotations(json.dumps([entry]), labels)[0]
        assert (record.path, record.label, record.captions) == ("78687.webm", 90, ("holding cup next to pot",))
        with pytest.raises(ListError, match=r'train.json:1: expected an "id" and a "template" among the 2 labels'):
            parse_ssv2_annotations(json.dumps([entry | {"template": "Closing [something]"}]), labels)
        with pytest.raises(ListError, match=r"labels.json:1: expected JSON, but got"):
            parse_ssv2_annotations("[]", "{")


def coin(**changes):
    """A film of COIN.json, in its form."""
    steps = [
        {"segment": [13.0, 20.0], "id": "281", "label": "install stand of the bed"},
        {"segment": [22.0, 41.5], "id": "282", "label": "install bed board"},
    ]
    film = {"recipe_type": 13, "class": "AssembleBed", "subset": "training", "duration": 56.68, "start": 8, "end": 64}
    return film | {"annotation": steps, "video_url": "none"} | changes


class TestCoin:
    def test_films_of_a_subset_are_read_with_task_and_steps(self):
        films = {"x1": coin(), "x2": coin(subset="testing", recipe_type=179), "x3": coin(recipe_type=0, annotation=[])}
        text = json.dumps({"database": films})
        first, second = parse_coin_annotations(text, "training", prefix="/coin", path="{recipe_type}/{video_id}.mp4")
        assert (first.path, first.label, first.duration, first.line) == ("/coin/13/x1.mp4", 13, 56.68, 1)
        assert first.captions == ("install stand of the bed", "install bed board")
        assert (first.start, first.end) == (None, None), "as published: the whole film"
        assert (second.path, second.label, second.captions, second.line) == ("/coin/0/x3.mp4", 0, (), 3)
        (held_out,) = parse_coin_annotations(text, "testing", trim=True, path="{class}/{video_id}.webm")
        assert (held_out.path, held_out.label) == ("AssembleBed/x2.webm", 179)
        assert (held_out.start, held_out.end) == (8, 64)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"recipe_type": 180}, r"COIN.json \(x1\):1: expected recipe_type from 0 to 179, but got 180"),
            ({"recipe_type": "13"}, "expected recipe_type from 0 to 179, but got '13'"),
            ({"subset": "train"}, "expected subset training or testing, but got 'train'"),
            ({"end": 8}, "expected start before end, and duration, in seconds, but got 8, 8, 56.68"),
            ({"duration": None}, "expected start before end, and duration"),
            ({"class": 3}, "expected a name as class, but got 3"),
            ({"annotation": {"id": 1}}, 'expected an annotation, a list of steps with a "label"'),
            ({"annotation": [{"id": 1}]}, "expected an annotation"),
        ],
    )
    def test_a_wrong_film_is_named(self, change, message):
        with pytest.raises(ListError, match=message):
            parse_coin_annotations(json.dumps({"database": {"x1": coin(**change)}}), "training")

    def test_another_file_and_another_subset_are_refused(self):
        with pytest.raises(ListError, match=r'COIN.json:1: expected an object "database" with an entry a video'):
            parse_coin_annotations("{}", "training")
        with pytest.raises(ListError, match=r"COIN.json \(x1\):1: expected recipe_type"):
            parse_coin_annotations('{"database": {"x1": 3}}', "training")
        with pytest.raises(ValueError, match="subset must be one of training, testing, but got 'validation'"):
            parse_coin_annotations('{"database": {}}', "validation")


class TestCaptions:
    def test_clean_up_is_the_published_one(self):
        text = "A man -- in a 'red/blue' hat; (he's) RUNNING!?\n"
        assert clean_caption(text) == "a man in a red blue hat hes running"
        assert clean_caption("#1: a*b~c, d.e") == "1 abc de"
        assert clean_caption("<person> sits") == "person sits"
        assert clean_caption("one two three four", max_words=2) == "one two"

    @given(st.text())
    def test_clean_text_stays_as_it_is(self, text):
        once = clean_caption(text)
        assert clean_caption(once) == once

    def test_videos_and_captions_may_be_lists(self):
        entries = [
            {"video": "a/1.mp4", "caption": ["One.", "Two!"]},
            {"image": "2.jpg", "caption": "Three"},
            {"video": ["b/1.mp4", "3.mp4"], "caption": "Four"},
        ]
        records = parse_captions(json.dumps(entries), prefix="/v")
        assert [(record.path, record.captions, record.line) for record in records] == [
            ("/v/a/1.mp4", ("one", "two"), 1),
            ("/v/2.jpg", ("three",), 2),
            ("/v/b/1.mp4", ("four",), 3),
            ("/v/3.mp4", ("four",), 3),
        ]
        assert media_numbers(records) == [0, 1, 2, 3]
        assert media_numbers(records, as_published=True) == [0, 1, 0, 2], "equal names count as one, as published"
        assert [record.captions for record in one_caption_each(records)][:2] == [("one",), ("two",)]
        assert parse_captions(json.dumps(entries), paragraph=True)[0].captions == ("one two",)
        assert parse_captions(json.dumps(entries), clean=False)[0].captions == ("One.", "Two!")

    @pytest.mark.parametrize("name", CAPTION_SETS)
    def test_every_caption_set_is_read_in_its_form(self, tmp_path, name):
        (tmp_path / "test.json").write_text(json.dumps([{"video": "v.mp4", "caption": ["First.", "Then."]}]), "utf-8")
        record = read_captions(tmp_path / "test.json", name)[0]
        assert record.captions == (("first then",) if name in ("didemo", "activitynet") else ("first", "then"))
        assert record.end == (30 if name == "didemo" else None)

    def test_the_truth_of_retrieval(self):
        entries = [
            {"video": "a", "caption": ["x", "y"]},
            {"video": "b", "caption": "z"},
            {"video": "a", "caption": "w"},
        ]
        truth = retrieval_truth(parse_captions(json.dumps(entries)))
        assert (truth.videos, truth.texts) == (("a", "b"), ("x", "y", "z", "w"))
        assert truth.video_of_text == (0, 0, 1, 0)
        assert truth.texts_of_video == ((0, 1, 3), (2,))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[", "c.json:1: expected JSON"),
            ("{}", "c.json:1: expected a JSON list, but got dict"),
            ('[{"video": "a", "caption": "x"}, {"caption": "x"}]', 'c.json:2: expected .* as "video"'),
            ('[{"video": "a"}]', 'c.json:1: expected .* as "caption"'),
            ('[{"video": [], "caption": "x"}]', 'as "video"'),
            ('[{"video": "a", "caption": [3]}]', 'as "caption"'),
            ('["a"]', "c.json:1: expected"),
        ],
    )
    def test_a_wrong_entry_is_named(self, text, message):
        with pytest.raises(ListError, match=message):
            parse_captions(text, list_file="c.json")

    def test_an_unknown_set_is_named(self, tmp_path):
        with pytest.raises(ValueError, match="caption_set must be one of msrvtt, didemo"):
            read_captions(tmp_path / "x.json", "mrsvtt")


class TestImageFolders:
    def test_folders_are_classes_in_order(self, tmp_path):
        for name in ("n02/b.JPEG", "n01/z.jpg", "n01/a.png", "n01/notes.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        records, classes = read_image_folder(tmp_path)
        assert classes == ["n01", "n02"]
        names = [(record.path.removeprefix(f"{tmp_path}/"), record.label) for record in records]
        assert names == [("n01/a.png", 0), ("n01/z.jpg", 0), ("n02/b.JPEG", 1)]

    def test_what_is_missing_is_named(self, tmp_path):
        with pytest.raises(ValueError, match="has no sub-folders; expected one for each class"):
            read_image_folder(tmp_path)
        (tmp_path / "n01").mkdir()
        with pytest.raises(ValueError, match="n01 holds no image"):
            read_image_folder(tmp_path)

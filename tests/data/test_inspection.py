import json

import numpy as np
from clips import clip_record, cut_record, write_clips

from seedance_jax.data import inspection, loader, tokenizer
from seedance_jax.data.buckets import Bucket

BUCKETS = (Bucket(9, 32, 48, 2, 3.0), Bucket(1, 16, 16, 2, 1.0))


def test_the_sheet_shows_examples_of_every_batch(source):
    dataset = loader.make_dataset(source, BUCKETS, text_length=24, seed=0)
    batches = [dict(dataset[step]) for step in range(4)]
    batches[0]["given_mask"] = np.array([[1, 0, 0], [0, 0, 0]])
    ids = [f"clip/{row}" for row in range(24)]
    shown = inspection.pick_examples(batches, ids, limit=7)
    assert len(shown) == 7
    row = batches[0]["index"][0]
    assert shown[0].title == f"step 0, 9x32x48, row clip/{row}: square {row}"
    pixels = np.asarray(inspection.draw_sheet(shown[:2]))
    green = (pixels == (0, 128, 0)).all(-1)
    assert green.any()
    assert green.any(0).sum() < 110  # above one frame of one example


def test_shots_are_told_apart(tmp_path):
    source = write_clips(tmp_path / "set", [cut_record(0, (5, 4)), clip_record(1)])
    [batch] = loader.eval_batches(source, Bucket(9, 32, 48, 2), text_length=48)
    cut, whole = inspection.pick_examples([batch], ["a", "b"])
    assert cut.title.splitlines()[1:] == [
        "  all: all shots",
        "  shot 0: shot 0",
        "  shot 1: shot 1",
    ]
    assert whole.title == "step 0, 9x32x48, row b: square 1"
    red = [
        (np.asarray(inspection.draw_sheet([example])) == (255, 0, 0)).all(-1)
        for example in (cut, whole)
    ]
    assert 0 < red[0].any(0).sum() <= 4  # one bar, where shot 1 starts
    assert not red[1].any()
    tokens = loader.count_tokens(source, tokenizer.BYTES)
    report = inspection.make_report(source.table, [Bucket(9, 32, 48, 2)], tokens, 48, {"lost": []})
    assert report["rows_by_shots"] == {1: 1, 2: 1}
    assert "rows with 2 shots: 1" in inspection.format_report(report)


def test_the_report_gives_shares_exclusions_and_lengths(source):
    lost = [{"file": "a.mp4", "reason": "zero frames"}]
    tokens = loader.count_tokens(source, tokenizer.BYTES)
    report = inspection.make_report(source.table, BUCKETS, tokens, 24, {"lost": lost}, 400)
    video, image = report["buckets"]
    assert (video["share_of_steps"], image["share_of_steps"]) == (0.75, 0.25)
    assert video["rows_excluded"] == {"fewer than 9 frames": 1, "smaller than 32x48": 1}
    assert (video["rows"], image["rows"]) == (22, 24)
    assert sum(report["caption_tokens"].values()) == 24
    json.dumps(report)
    text = inspection.format_report(report)
    for part in ("75.0%", "smaller than 32x48: 1", "a.mp4: zero frames"):
        assert part in text


def test_a_look_at_several_sources_shows_each_of_them(source, tmp_path, monkeypatch):
    other = write_clips(tmp_path / "set", [clip_record(i, caption=f"other {i}") for i in range(4)])
    places, shown = {"folder": source, "world": other}, []
    draw = inspection.draw_sheet
    monkeypatch.setattr(inspection.sources, "locate", lambda data: data["source"])
    monkeypatch.setattr(inspection.storage, "open_split", lambda place, split: places[place])
    monkeypatch.setattr(inspection.storage, "read_report", lambda place: {"lost": []})
    monkeypatch.setattr(inspection, "draw_sheet", lambda e: shown.append(e) or draw(e))

    def look(names, split="train"):
        data = {"source": names, "buckets": ((9, 32, 48, 2, 1.0),), "text_length": 24}
        return inspection.format_reports(inspection.inspect(data, split, 8)[1])

    text = look("folder:1, world:3")
    assert text.startswith("of the source folder:1:\nrows with 1 shots: 24\n")
    assert "\nof the source world:3:\nrows with 1 shots: 4\n" in text
    assert "left out" not in text
    titles = [example.title for example in shown.pop()]
    assert len(titles) == inspection.LIMIT
    assert all(title.startswith("folder:1, step") and "square" in title for title in titles[:6])
    assert all(title.startswith("world:3, step") and "other" in title for title in titles[6:])
    assert "of the source" not in look("folder:1")
    assert shown.pop()[0].title.startswith("step 0")
    text = look("folder,world", "validation")
    assert text.startswith("splits but train go by the first source; left out: world\n")
    assert "of the source world" not in text


def test_what_is_left_out_of_a_folder_is_said():
    assert inspection.format_built({"lost": []}, BUCKETS) == []
    left_out = {f"{number}.xyz": "no suffix" for number in range(30)}
    report = {"left_out": left_out, "notes": ["2 hidden"], "pictures": 3}
    said = "\n".join(inspection.format_built(report, BUCKETS))
    assert said.startswith("30 files or folders left out:\n  0.xyz: no suffix\n")
    assert said.endswith("  ... and 10 more\nnote: 2 hidden")
    [*_, line] = inspection.format_built(report, BUCKETS[:1])
    assert line == "3 pictures left out: no bucket of the config has one frame"

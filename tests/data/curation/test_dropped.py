"""The report of what a filter drops: counts, how often labels are right, and examples."""

import json

import numpy as np
from clips import clip_record, write_clips

from seedance_jax.data.curation import dropped, scores, selection

SHAKE = np.array([0.1, 0.9, 0.9, 0.2, 0.5, 0.8])
FLAWS = np.array(["", "shaken", "", "static", "barely_moving", "shaken"])


def judged(text=None, flaws=FLAWS):
    columns = {"num_frames": np.full(6, 9), "shake": SHAKE, "motion": np.array([1, 1, 1, 0, 2, 0])}
    labels = {"shaky": SHAKE > 0.7, "static": columns["motion"] < 1, "mine": SHAKE > 2}
    passes = {"motion > 0": columns["motion"] > 0, "not shaky": SHAKE <= 0.7}
    chosen = selection.Selection(passes, {}) if text else None
    return dropped.Judged(columns, labels, chosen, flaws)


def test_rows_are_counted_by_reason_and_by_what_alone_drops_them():
    report = dropped.make_report(judged())
    assert (report["rows"], report["kept"], report["by"]) == (6, 2, "labels")
    assert report["reasons"]["shaky"] == {"rows": 3, "alone": 2}
    assert report["reasons"]["static"] == {"rows": 2, "alone": 1}
    assert report["reasons"]["mine"] == {"rows": 0, "alone": 0}
    filtered = dropped.make_report(judged("motion > 0 and not shaky"))
    assert (filtered["kept"], filtered["by"]) == (2, "filter")
    assert filtered["reasons"] == {
        "not motion > 0": {"rows": 2, "alone": 1},
        "shaky": {"rows": 3, "alone": 2},
    }
    json.dumps(report)


def test_labels_are_compared_with_the_flaws_that_are_meant():
    report = dropped.make_report(judged())
    assert report["good"] == {"rows": 2, "dropped": 1}
    assert report["right"] == {
        "shaky": {"precision": (2, 3), "shaken": (2, 2)},
        "static": {"precision": (1, 2), "static": (1, 1), "barely_moving": (0, 1)},
    }
    text = dropped.format_report(report)
    assert "2 of 6 rows kept by the labels; dropped by\n  shaky: 3 (2 by nothing else)" in text
    assert "| `static` | 1 of 2 | static 1 of 1, barely_moving 0 of 1 |" in text
    assert "of 2 clips without a flaw 1 are dropped" in text
    unknown = dropped.make_report(judged(flaws=None))
    assert "right" not in unknown
    assert "flaw" not in dropped.format_report(unknown)


def test_scores_of_no_row_have_no_quantiles():
    one = judged()
    one.columns["speed"] = np.full(6, np.nan)
    assert dropped.make_report(one)["quantiles"].keys() == {"shake", "motion"}


def test_a_split_is_judged_by_its_tables_and_its_records(tmp_path):
    directory = tmp_path / "clips" / "a"
    source = write_clips(directory, [clip_record(i) for i in range(6)])
    scores.build(directory, "train", ["aesthetic"], tmp_path)
    data = {"data_dir": str(tmp_path), "labels": {"long": "num_frames > 5", "dim": "exposure < 0"}}
    found = dropped.judge(data | {"filter": "clipped > 2 and not long"}, directory, "train")
    assert found.flaws is None
    assert found.labels["long"].all()
    assert not found.labels["dim"].any()
    report = dropped.make_report(found)
    assert report["kept"] == 0
    assert {"exposure", "clipped"} <= report["quantiles"].keys()
    titles = [title for title, _ in dropped.examples(found, source, shown=2)]
    assert len(titles) == 4  # no row twice
    assert titles[0].startswith("not clipped > 2: row clip/0, also long, sharpness ")
    assert titles[2].startswith("long: row clip/1, also not clipped > 2, ")
    frames = [frames for _, frames in dropped.examples(found, source)]
    assert all(one.shape == (9, 32, 48, 3) for one in frames)


def test_flaws_are_those_of_the_scenes():
    def rows(*scenes):
        return [{"scene": json.dumps(scene)} for scene in scenes]

    shaken = {"flaw": {"name": "shaken", "severity": 0.5}}
    assert dropped.flaws_of(rows({"flaw": None}, shaken, {})).tolist() == ["", "shaken", ""]
    assert dropped.flaws_of(rows({"flaw": None}, {})) is None
    assert dropped.flaws_of([clip_record(0)]) is None

"""What came of a test suite is written down."""

import json
import shutil

import pytest

from seedance_jax.evaluation.suite import cases, command, log
from seedance_jax.pretrained import runs


@pytest.fixture(scope="module")
def found(bright, fake, quick, tmp_path_factory):
    """A report."""
    with quick():
        return command.run(fake(), bright, tmp_path_factory.mktemp("log"), 7, batch_size=7)


def test_test_suites_on_what_comes_with_the_package_are_kept(tmp_path):
    dev, test = (cases.read_suite(f"world_v1_{name}") for name in ("dev", "test"))
    assert log.choose_log(None, runs.RELEASED, test) == log.PATH
    assert log.choose_log(None, runs.RELEASED, dev) is None
    assert log.choose_log(None, tmp_path / "run", test) is None
    assert log.choose_log("", runs.RELEASED, test) is None
    own = tmp_path / "logs" / "own.jsonl"
    assert log.choose_log(str(own), tmp_path / "run", test) == own
    assert log.read(own) == []
    with pytest.raises(OSError, match="own.jsonl/log.jsonl cannot be written: .*another --log"):
        log.choose_log(str(own / "log.jsonl"), tmp_path / "run", test)
    with pytest.raises(ValueError, match=r"--log=own.jsonl .* world_v1_dev is none"):
        log.choose_log("own.jsonl", tmp_path, dev)


def test_a_line_has_the_date_what_was_judged_and_the_figures(found, tmp_path):
    path = tmp_path / "log.jsonl"
    log.append(path, "tiny", found)
    log.append(path, "tiny", found)  # the same results, shown again
    log.append(path, "tiny", found | {"weights": "others"})
    rows = log.read(path)
    assert [row["weights"] for row in rows] == ["fake", "others"]
    for name in ("suite", "checksum", "judges", "settings", "clips", "passed"):
        assert rows[0][name] == found[name]
    assert rows[0]["axes"]["motion_quality"] == found["axes"]["motion_quality"]["passed"]
    assert rows[0]["date"].count("-") == 2
    lines = log.table(rows).splitlines()
    assert len(lines) == 4
    assert "| tiny | fake | world_v1_dev |" in lines[2]
    path.write_text(json.dumps(rows[0]) + "\n{}\n")
    with pytest.raises(ValueError, match=r"log.jsonl line 2 is no run of a test suite"):
        log.read(path)


def test_the_log_of_the_package_is_shown(run_command, capsys):
    run_command("evaluate", "--show_log")
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(log.read(log.PATH))


def test_the_released_weights_were_tested_by_what_their_card_says():
    report = json.loads((runs.RELEASED / "evaluation.json").read_text())
    rows = [row for row in log.read(log.PATH) if row["suite"] == report["suite"]]
    assert rows[-1]["passed"] == report["passed"]
    assert rows[-1]["weights"] == report["weights"]


def test_a_card_is_written_anew_and_its_autoencoder_stays(run_command, found, tmp_path):
    from seedance_jax.evaluation import judgement, releases

    own = tmp_path / "tiny"
    shutil.copytree(runs.RELEASED, own)
    coded = json.loads((own / "evaluation.json").read_text())["autoencoder"]
    releases.record(own, found, tmp_path / "log.jsonl", renew=True)
    report = json.loads((own / "evaluation.json").read_text())
    assert report == found | {"autoencoder": coded}
    assert judgement.write_table(found) in (own / "README.md").read_text()
    with pytest.raises(ValueError, match=r"--card: .* is no release"):
        releases.check_card(tmp_path, wanted=True)

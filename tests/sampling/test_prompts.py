import json

import pytest

from seedance_jax.sampling import prompts


def test_three_formats_agree(tmp_path):
    (tmp_path / "a.txt").write_text("a red ball\n\na blue cube\n")
    (tmp_path / "a.csv").write_text("prompt,seed\na red ball,3\na blue cube,\n")
    rows = [{"prompt": "a red ball", "seed": 3}, {"prompt": "a blue cube"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert prompts.read_prompts(tmp_path / "a.csv") == rows
    assert prompts.read_prompts(tmp_path / "a.jsonl") == rows
    assert [row["prompt"] for row in prompts.read_prompts(tmp_path / "a.txt")] == [
        row["prompt"] for row in rows
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "prompt,sed\na ball,1\n", "sed"),
        ("a.csv", "prompt,seed\na ball,one\n", "line 2.*seed='one'"),
        ("a.csv", "prompt,seed\na ball,1,2\n", "more cells"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt": \n', "line 2.*not JSON"),
        ("a.jsonl", '{"seed": 1}\n', "line 1.*no prompt"),
        ("a.jsonl", "[1]\n", "line 1.*object"),
        ("a.txt", "\n", "no prompts"),
        ("a.yaml", "x", "suffix"),
    ],
)
def test_broken_files_are_named(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        prompts.read_prompts(tmp_path / name)


def test_all_broken_rows_are_reported(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,seed\na,x\nb,2\nc,y\n")
    with pytest.raises(ValueError, match="2 broken rows") as error:
        prompts.read_prompts(tmp_path / "a.csv")
    assert "line 2" in str(error.value)
    assert "line 4" in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        prompts.read_prompts(tmp_path / "none.txt")

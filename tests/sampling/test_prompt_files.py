import json

import pytest

from seedance_jax.sampling import prompt_files
from seedance_jax.sampling.shots import parse_prompt


def read(path):
    """The settings of a file, without the numbers of their lines."""
    return [settings for _, settings in prompt_files.read_prompts(path)]


def test_three_formats_agree(tmp_path):
    (tmp_path / "a.txt").write_text("a red ball\n\na blue cube\n")
    (tmp_path / "a.csv").write_text("prompt,seed,fps\na red ball,3,24\na blue cube,,\n")
    rows = [{"prompt": "a red ball", "seed": 3, "fps": 24.0}, {"prompt": "a blue cube"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(tmp_path / "a.csv") == rows
    assert read(tmp_path / "a.jsonl") == rows
    assert prompt_files.read_prompts(tmp_path / "a.txt") == [
        (1, {"prompt": "a red ball"}),
        (3, {"prompt": "a blue cube"}),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "a.csv",
            "prompt,sed\na ball,1\n",
            r"columns \['sed'\]; did you mean 'seed'\? legal columns: prompt, ",
        ),
        ("a.csv", "prompt,seed\na ball,one\n", "line 2.*seed='one'"),
        ("a.csv", "prompt,seed\na ball,1,2\n", "line 2.*more cells"),
        ("a.csv", "prompt,seed,image\na ball,1\n", "line 2.*fewer cells.*'image'"),
        ("a.csv", 'prompt,seed\n"a ball,1\na cube,2\n', "line 2: not CSV"),
        ("a.csv", "prompt,num_frames\na ball,17.9\n", "line 2: num_frames='17.9'.*type int"),
        ("a.jsonl", '{"prompt": "a", "num_frames": 17.9}\n', "num_frames=17.9.*type int"),
        ("a.jsonl", '{"prompt": "a", "num_frames": "17"}\n', "num_frames='17'.*type int"),
        ("a.jsonl", '{"prompt": "a", "seed": true}\n', "line 1: seed=True.*type int"),
        ("a.jsonl", '{"prompt": "a", "guidance_scale": true}\n', "guidance_scale=True.*type float"),
        ("a.jsonl", '{"prompt": "a", "seed": null}\n', "line 1: seed=None.*type int"),
        ("a.jsonl", '{"prompt": ["a", "b"]}\n', r"prompt=\['a', 'b'\].*type str"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt": \n', "line 2.*not JSON"),
        ("a.jsonl", '{"prompt": "a", "frames": ["a.png"]}\n', r"frames=\['a.png'\].*type str"),
        ("a.jsonl", '{"prompt": "a", "frames": {"0": 1}}\n', "frames=.*must be JSON"),
        ("a.jsonl", '{"prompt": "a", "frames": {"0": "a", "0": "b"}}\n', "stands twice"),
        ("a.jsonl", '{"seed": 1}\n', "line 1.*no prompt"),
        ("a.jsonl", "[1]\n", "line 1.*object"),
        ("a.txt", "\n", "no prompts"),
        ("a.yaml", "x", "suffix"),
    ],
)
def test_broken_files_are_named(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        prompt_files.read_prompts(tmp_path / name)


def test_all_broken_rows_are_reported(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,seed\na,x\nb,2\nc,y\n")
    with pytest.raises(ValueError, match="2 broken rows") as error:
        prompt_files.read_prompts(tmp_path / "a.csv")
    assert "line 2" in str(error.value)
    assert "line 4" in str(error.value)


def test_an_integer_may_be_a_scale(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "a ball", "guidance_scale": 4}\n')
    assert read(tmp_path / "a.jsonl")[0]["guidance_scale"] == 4


def test_only_line_feeds_end_a_row(tmp_path):
    text = "a ball\u2028a\u0085cube\x0cfalls"
    (tmp_path / "a.txt").write_text(text + "\r\na cone\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"prompt": text}, ensure_ascii=False), encoding="utf-8"
    )
    (tmp_path / "a.csv").write_text(f'prompt,seed\n"{text}\nfar",1\n', encoding="utf-8")
    assert read(tmp_path / "a.txt") == [{"prompt": text}, {"prompt": "a cone"}]
    assert read(tmp_path / "a.jsonl") == [{"prompt": text}]
    assert read(tmp_path / "a.csv") == [{"prompt": f"{text}\nfar", "seed": 1}]


def test_rows_of_json_may_have_json_in_the_place_of_text(tmp_path):
    shots = [{"prompt": "a", "duration": 1}, {"prompt": "b", "duration": 1}]
    for prompt in (shots, {"global": "c", "shots": shots}):
        row = {"prompt": prompt, "frames": {"8": "b.png"}, "guidance_interval": [0.2, 0.9]}
        (tmp_path / "a.jsonl").write_text(json.dumps(row))
        (read_row,) = read(tmp_path / "a.jsonl")
        assert parse_prompt(read_row["prompt"]) == parse_prompt(prompt)
        assert prompt_files.parse_frames(read_row["frames"]) == {8: str(tmp_path / "b.png")}
        assert [float(part) for part in read_row["guidance_interval"].split(",")] == [0.2, 0.9]


def test_files_that_are_no_text_are_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("ein K\u00f6rper".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.txt' is not UTF-8"):
        prompt_files.read_prompts(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="is a directory"):
        prompt_files.read_prompts(tmp_path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        prompt_files.read_prompts(tmp_path / "none.txt")


def test_paths_are_relative_to_the_file(tmp_path):
    rows = [{"prompt": "a", "image": "x/a.png", "frames": '{"4": "b.png"}', "video": "/c.mp4"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (row,) = read(tmp_path / "a.jsonl")
    assert row["image"] == str(tmp_path / "x/a.png")
    assert row["video"] == "/c.mp4"
    assert prompt_files.parse_frames(row["frames"]) == {4: str(tmp_path / "b.png")}


@pytest.mark.parametrize(
    "text",
    [
        *("a.png", "[1]", "3", '{"a": "b.png"}', '{"1": 2}', '{"0": "a", "0": "b"}'),
        *('[["0", "a"]]', '{"0": "a", "00": "b"}', "[" * 100_000),
    ],
    ids=lambda text: text[:20],
)
def test_frames_that_are_not_numbers_and_paths_are_errors(text):
    with pytest.raises(ValueError, match="must be JSON, frame number: path"):
        prompt_files.parse_frames(text)


def test_paths_are_found_by_any_name_for_them(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    image = tmp_path / "sub" / "e\u0301.png"
    image.touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("~/sub/e\u0301.png", "sub\\\u00e9.png", "./sub/\u00e9.png"):
        rows = [{"prompt": "a", "image": name, "frames": {"4": name}}]
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (row,) = read(tmp_path / "a.jsonl")
        assert row["image"] == str(image)
        assert prompt_files.parse_frames(row["frames"]) == {4: str(image)}
    assert prompt_files.parse_frames('{"0": "~/b.png"}') == {0: f"{tmp_path}/b.png"}


def test_what_tables_add_is_no_setting(tmp_path):
    text = '\ufeffprompt, seed,\r\n"a ball, red",3,\r\n,,\r\n'
    (tmp_path / "a.CSV").write_bytes(text.encode())
    assert read(tmp_path / "a.CSV") == [{"prompt": "a ball, red", "seed": 3}]
    (tmp_path / "a.txt").write_bytes("a ball".encode("utf-16"))
    with pytest.raises(ValueError, match=r"a\.txt' is not UTF-8 text: it is UTF-16"):
        read(tmp_path / "a.txt")
    (tmp_path / "a.jsonl").write_text('{"prompt": "half \\ud83d"}')
    with pytest.raises(ValueError, match="a.jsonl, line 1: prompt holds half a character"):
        read(tmp_path / "a.jsonl")

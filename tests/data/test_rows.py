"""Text that people write is read as they meant it, or refused with its place."""

import pytest

from seedance_jax.data import rows

ODD = "a ball\u2028rolls\x0bfar\x85off\x0c\x1c."  # what Unicode, but nobody else, ends lines with


def write(tmp_path, data):
    path = tmp_path / "a.txt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("\ufeffa ball", "a ball"),
        ("\ufeff\ufeffa ball", "a ball"),
        ("\ufeffa\n\ufeffb\n", "a\nb\n"),  # two files in one
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\rb\r", "a\nb\n"),
        ("a\rb\n", "a\rb\n"),
        (ODD, ODD),
        ("", ""),
    ],
)
def test_marks_go_and_line_feeds_stay(tmp_path, data, text):
    assert rows.read_text(write(tmp_path, data)) == text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("a ball".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        ("a ball".encode("utf-32"), "it is UTF-32"),
        ("a ball".encode("utf-16-le"), "it holds zeros, as UTF-16 does"),
        (b"a ball\n\nA caf\xe9 ball", "0xe9 in line 3"),
        ("\u7ea2\u7403".encode("gbk"), "0xba in line 1"),
    ],
)
def test_other_encodings_are_named(tmp_path, data, said):
    path = write(tmp_path, data)
    with pytest.raises(ValueError, match=f"^{path} is not UTF-8 text: .*{said}"):
        rows.read_text(path)


def test_only_line_feeds_end_a_line():
    assert list(rows.of_lines(f"{ODD}\n\n b \n")) == [(1, ODD), (3, "b")]


def test_cells_belong_to_columns():
    text = 'name, text\na,"x, y"\n\nb,"1\n2",\n,\nc,z,, \n'
    assert list(rows.of_csv(text)) == [
        (2, {"name": "a", "text": "x, y"}),
        (4, {"name": "b", "text": "1\n2"}),
        (7, {"name": "c", "text": "z"}),
    ]
    assert list(rows.of_csv(f"a,\n{ODD},\n")) == [(2, {"a": ODD})]
    assert list(rows.of_csv('a, b\nx, "y, z"\n')) == [(2, {"a": "x", "b": "y, z"})]
    assert list(rows.of_csv(",a\n0,x\n")) == [(2, {"": "0", "a": "x"})]  # numbered rows
    assert list(rows.of_csv("\t\n \n,\t\na\nx\n")) == [(5, {"a": "x"})]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a,b\nx,y,z\n", 2, "more cells than columns; put text with commas in quotes"),
        ("a,b\nx,y,,z\n", 2, "more cells"),
        ("a,b\nx, y, z\n", 2, "more cells"),
        ('a,b\nx,"y" z\n', 2, "not CSV"),
        ('a,b\n1,2\n"x,y\nz,z\n', 3, "not CSV"),
        ("a,b\n\nx\n", 3, "fewer cells than columns: no .'b'"),
        ("a;b\nx;y, z\n", 1, "commas must stand between columns, got 'a;b'"),
        ("a,b,a\n1,2,3\n", 1, "a column stands twice"),
    ],
)
def test_rows_that_do_not_fit_their_columns_are_errors(text, line, said):
    *_, (number, error) = rows.of_csv(text)
    assert number == line
    with pytest.raises(ValueError, match=said):
        raise error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "not JSON: a name stands twice"),
        ('{"a": {"b": 1, "b": 2}}', "not JSON: a name stands twice"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON: too many brackets"),
    ],
)
def test_json_that_says_two_things_or_none_is_an_error(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        rows.parse_json(text)
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=f"^{path} is .*{said}"):
        rows.read_json(path)
    [(line, error)] = rows.of_json_lines(f"\n{text}")
    assert line == 2
    assert isinstance(error, ValueError)


def test_json_may_have_a_mark(tmp_path):
    assert rows.read_json(write(tmp_path, '\ufeff{"a": 1}')) == {"a": 1}
    with pytest.raises(ValueError, match=r"a\.txt is not UTF-8 text"):
        rows.read_json(write(tmp_path, '{"a": 1}'.encode("utf-16")))


@pytest.mark.parametrize("value", [5, None, True, ["a"], "half \ud83d"])
def test_text_is_text(value):
    with pytest.raises(ValueError, match="^caption (must be text|holds half a character), got "):
        rows.check_text("caption", value)


def test_one_broken_row_is_a_line_and_many_are_counted():
    rows.refuse("in/a.csv", [])
    with pytest.raises(ValueError, match="^in/a.csv, line 3: no$"):
        rows.refuse("in/a.csv", [(3, "no")])
    with pytest.raises(ValueError, match="^in/a.csv has 50 broken rows:") as error:
        rows.refuse("in/a.csv", [(line, "no") for line in range(50)])
    said = str(error.value).splitlines()
    assert said[1] == "  a.csv, line 0: no"
    assert said[20:] == ["  a.csv, line 19: no", "  ... and 30 more"]
    assert rows.some(["a", "b"]) == "a, b"
    assert rows.some(["a"] * 23).endswith("a and 3 more")

import codecs
import json
import pickle
import shutil

import numpy as np
import pytest
import tokenizers

from seedance_jax.data import tokenizer

TEXTS = ["", "a red ball", "eine Straße, 猫 \U0001f600", "  two  spaces\nline "]
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_tokenizer(directory, **settings):
    """A byte-level BPE in the form of Qwen's, learned from a few words."""
    built = tokenizers.Tokenizer(tokenizers.models.BPE())
    built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    built.train_from_iterator(["a red ball rolls to the left", "a blue ball rolls"] * 3, trainer)
    built.enable_truncation(3)  # files may say so; ours never cut
    built.save(str(directory / "tokenizer.json"))
    settings = {"bos_token": None, "pad_token": "<|endoftext|>"} | settings
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer.open_tokenizer(str(directory))


@pytest.fixture(scope="module", params=["bytes", "file"])
def record(request, tmp_path_factory):
    if request.param == "bytes":
        return tokenizer.open_tokenizer("bytes")
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize("text", TEXTS)
def test_round_trip(record, text):
    ids, mask = record.encode(text, 64)
    assert ids.dtype == np.int32
    assert record.decode(ids) == text
    assert mask.sum() == record.count(text)
    assert ids[0] == record.start
    assert mask[0]
    assert (ids[~mask] == record.pad).all()
    assert ids.max() < record.vocab_size


def test_bytes_are_one_token_each():
    assert tokenizer.token_count("Straße") == 1 + len("Straße".encode())
    ids, mask = tokenizer.encode("ab", 4)
    assert ids.tolist() == [tokenizer.BOS, *(ord(c) + tokenizer.BYTE_OFFSET for c in "ab"), 0]
    assert mask.tolist() == [True, True, True, False]


def test_a_file_makes_words_of_bytes(tmp_path):
    record = write_tokenizer(tmp_path)
    assert record.count("a red ball rolls to the left") < 15
    assert record.identity != write_identity(tmp_path, bos_token="<|im_end|>")


def write_identity(directory, **settings):
    other = directory / "other"
    other.mkdir()
    return write_tokenizer(other, **settings).identity


def test_a_text_that_just_fits_and_one_that_does_not(record):
    count = record.count("a red ball?!")
    assert record.encode("a red ball?!", count)[1].all()
    with pytest.raises(ValueError, match=rf"{count} tokens .* text length {count - 1}"):
        record.encode("a red ball?!", count - 1)


def test_ids_outside_the_vocabulary_are_an_error(record):
    with pytest.raises(ValueError, match=str(record.vocab_size)):
        record.decode(np.array([1, record.vocab_size]))


def test_a_text_that_spells_a_special_token_stays_a_text(tmp_path):
    record = write_tokenizer(tmp_path)
    assert record.special["<|im_end|>"] == 2
    ids = record.to_ids("say <|im_end|> twice")
    assert 2 not in ids
    assert record.to_text(ids) == "say <|im_end|> twice"


def test_the_start_token_is_bos_or_else_padding(tmp_path):
    assert write_tokenizer(tmp_path).start == 0
    for number, settings in enumerate([{"bos_token": "<|im_start|>"}, {"pad_token": None}]):
        directory = tmp_path / str(number)
        directory.mkdir()
        if settings["pad_token" if number else "bos_token"] is None:
            with pytest.raises(ValueError, match="bos_token and pad_token"):
                write_tokenizer(directory, **settings)
        else:
            record = write_tokenizer(directory, **settings)
            assert (record.start, record.pad) == (1, 0)


def test_workers_of_the_input_pipeline_can_be_handed_one(record):
    again = pickle.loads(pickle.dumps(record))
    np.testing.assert_array_equal(again.encode("a ball", 8), record.encode("a ball", 8))


def test_files_that_are_not_there_or_no_tokenizers(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json; legal: 'bytes'"):
        tokenizer.open_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"tokenizer_config\.json"):
        tokenizer.open_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ValueError, match="not a tokenizer"):
        tokenizer.open_tokenizer(str(tmp_path))


def test_marks_of_editors_change_nothing(tmp_path):
    before = write_tokenizer(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes(codecs.BOM_UTF8 + (tmp_path / name).read_bytes())
    assert tokenizer.open_tokenizer(str(tmp_path)).identity == before.identity


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer.*git lfs pull"),
        ("<html></html>", "(not|is not|expected)"),
        ("[1]", "(not|is not|expected)"),
    ],
)
def test_files_of_a_tokenizer_that_are_something_else_are_named(tmp_path, name, content, said):
    (tmp_path / "whole").mkdir()
    write_tokenizer(tmp_path / "whole")
    other = shutil.copytree(tmp_path / "whole", tmp_path / "other")  # what is open stays so
    (other / name).write_text(content)
    with pytest.raises(ValueError, match=f"^[^:]*{name}:? {said}"):
        tokenizer.open_tokenizer(str(other))

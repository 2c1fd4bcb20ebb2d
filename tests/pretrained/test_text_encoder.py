import functools

import flax.linen as nn
import jax
import language_models
import ml_dtypes
import numpy as np
import pytest
from clips import clip_record, cut_record, write_clips

from seedance_jax.data import loader
from seedance_jax.data.buckets import Bucket
from seedance_jax.data.builders.side_tables import build_texts, open_table
from seedance_jax.data.examples import Wanted
from seedance_jax.models.conditioning import Condition
from seedance_jax.models.text import TextModel, caption_starts
from seedance_jax.pretrained import generators, text_encoder
from seedance_jax.training import checkpoint, run_directory

LENGTH = 32
BUCKETS = [Bucket(17, 32, 32, 4), Bucket(5, 32, 32, 4)]
FROZEN = {"mode": "frozen", "layers": (0, -1), "dtype": "float32"}
JOINT = {"width": 16, "depth": 1, "heads": 2, "max_words": 12, "dtype": "float32"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Clips of one, two and three shots."""
    lengths = [(9, 8), (17,), (5, 4, 8), (13, 4)]
    clips = [cut_record(i, shots) for i, shots in enumerate(lengths) if len(shots) > 1]
    clips.append(clip_record(9, num_frames=17, caption="one shot of a square"))
    return write_clips(tmp_path_factory.mktemp("clips") / "set", clips)


@pytest.fixture(scope="module", params=["directory", "run"])
def encoder(request, tmp_path_factory, one_device):
    """The language model of a Hugging Face directory, or of a run of the generator."""
    path = tmp_path_factory.mktemp("language")
    if request.param == "directory":
        language_models.write_directory(path)
    else:
        model = generators.build_generator(JOINT, {}, 4).text_model
        lm = TextModel(**model)
        ids = np.ones((1, 4), np.int32)
        params = lm.init(jax.random.key(0), ids, ids > 0)["params"]
        checkpoint.save_weights(path, {"text": nn.unbox(params)})
        run_directory.write_json(path, "config.json", {"stage": "flow_matching", "text": JOINT})
    return text_encoder.open_encoder(FROZEN | {"path": str(path)}, one_device)


@pytest.fixture(scope="module")
def texts(source, encoder, tmp_path_factory):
    directory = tmp_path_factory.mktemp("texts") / "set"
    rows = text_encoder.encode_rows(source, LENGTH, encoder)
    return open_table(build_texts(directory, rows, encoder.identity), "texts", encoder.identity)


@pytest.fixture(scope="module")
def encode(encoder):
    return jax.jit(functools.partial(text_encoder.encode, encoder.model, encoder.max_words))


def test_precomputed_tokens_are_those_of_the_frozen_model(source, encoder, texts, encode):
    by_ids = {"text_length": LENGTH, "wanted": Wanted(encoder.tokenizer)}
    by_tokens = {"text_length": encoder.positions(LENGTH), "side_tables": {"texts": texts}}
    frozen = loader.make_dataset(source, BUCKETS, seed=0, **by_ids)
    precomputed = loader.make_dataset(source, BUCKETS, seed=0, **by_tokens)
    shots = set()
    for step in range(6):
        ids, stored = frozen[step], precomputed[step]
        np.testing.assert_array_equal(stored["frame_shot"], ids["frame_shot"])
        text = (ids[name] for name in ("text", "text_mask", "text_shot"))
        tokens, mask, shot = map(np.asarray, encode(encoder.params, *text))
        assert stored["text"].shape == (4, encoder.positions(LENGTH), encoder.width)
        np.testing.assert_array_equal(stored["text_mask"], mask)
        np.testing.assert_array_equal(stored["text_shot"][mask], shot[mask])
        np.testing.assert_allclose(stored["text"], tokens, rtol=1e-2, atol=1e-2)
        shots |= {len(np.unique(row[valid])) for row, valid in zip(shot, mask, strict=True)}
    assert {1, 3} <= shots  # one shot, and two with what they have in common


def rounded(tokens):
    """As they are on disk."""
    return np.asarray(tokens).astype(ml_dtypes.bfloat16).astype(np.float32)


def test_tokens_are_as_precise_as_on_disk_in_training_and_in_sampling(encoder, encode):
    ids, mask = encoder.tokenizer.encode("a red ball", LENGTH)
    text = (ids[None], mask[None], 0 * ids[None])
    condition = Condition(*text, np.zeros((1, 2), np.int32))
    dit = {"width": 8, "depth": 1, "heads": 2, "window": (2, 2)}
    generator = generators.build_generator(FROZEN | {"path": "x", "max_words": 0}, dit, 4)
    generator, params = generators.with_encoder(generator, {}, encoder)
    sampled = generator.apply({"params": params}, condition, method="encode_text").text
    trained, *_ = encode(encoder.params, *text)
    for tokens in (sampled, trained):
        np.testing.assert_array_equal(tokens, rounded(tokens))
    np.testing.assert_allclose(sampled, trained, rtol=1e-2)  # near a tie it may round otherwise
    whole = encoder.model.apply({"params": encoder.params}, *text)
    assert not np.array_equal(whole, rounded(whole))


def test_the_empty_caption_is_stored_with_every_caption(source, encoder, texts, encode):
    """The first token of every caption is all that is left of it when captions are dropped."""
    ids, mask = encoder.tokenizer.encode("", LENGTH)
    empty = np.asarray(encode(encoder.params, ids[None], mask[None], 0 * ids[None])[0])[0, 0]
    for number in range(len(texts)):
        row = texts[number]
        valid = np.ones((1, len(row["shot"])), bool)
        starts = np.asarray(caption_starts(valid, row["shot"][None]))[0]
        found = row["tokens"][starts].astype(np.float32)
        np.testing.assert_allclose(found, np.tile(empty, (len(found), 1)), rtol=1e-2, atol=1e-2)


def test_rows_of_other_clips_are_refused(source, texts, tmp_path):
    clips = [clip_record(20 + i, num_frames=17) for i in range(len(source))]
    other, tables = write_clips(tmp_path / "set", clips), {"side_tables": {"texts": texts}}
    with pytest.raises(ValueError, match="in the place of those of 'clip/2"):
        loader.make_dataset(other, BUCKETS, seed=0, text_length=LENGTH, **tables)[0]
    fewer = write_clips(tmp_path / "fewer", clips[:2])
    with pytest.raises(ValueError, match="4 texts for 2 rows"):
        loader.make_dataset(fewer, BUCKETS, seed=0, text_length=LENGTH, **tables)
    with pytest.raises(ValueError, match="text tokens, the text length is 2"):
        loader.make_dataset(source, BUCKETS, seed=0, text_length=2, **tables)[0]


def test_without_a_mesh_only_the_weights_are_missing(encoder, tmp_path):
    language_models.write_directory(tmp_path)
    identity = text_encoder.open_encoder(FROZEN | {"path": str(tmp_path)}).identity
    assert identity.keys() == encoder.identity.keys()
    language_models.write_directory(tmp_path, scale=0.5)
    other = text_encoder.open_encoder(FROZEN | {"path": str(tmp_path)})
    assert other.params is None
    differing = {key for key in identity if identity[key] != other.identity[key]}
    assert differing == {"language"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ({"mode": "big"}, r"text.mode='big' is not one of \('joint', 'frozen', 'precomputed'\)"),
        ({"mode": "frozen"}, "text.path='': text.mode='frozen' needs a language model"),
        ({"path": "x"}, "text.path='x': text.mode='joint' needs none"),
        ({"tokenizer": "x"}, "text.max_words=12 counts words of bytes"),
    ],
)
def test_settings_that_do_not_fit_each_other(text, said):
    with pytest.raises(ValueError, match=said):
        text_encoder.check_mode(text_encoder.DEFAULTS | JOINT | text)


def test_paths_without_a_language_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        text_encoder.open_encoder(text_encoder.DEFAULTS | FROZEN | {"path": str(tmp_path)})
    run_directory.write_json(tmp_path, "config.json", {"stage": "vae"})
    with pytest.raises(ValueError, match="a run that has not trained a language model"):
        text_encoder.open_encoder(text_encoder.DEFAULTS | FROZEN | {"path": str(tmp_path)})


def test_captions_of_more_words_than_the_model_reads_are_refused():
    text_encoder.check_words(["a red ball", "two"], 6)
    text_encoder.check_words(["a red ball", "two"], 0)
    with pytest.raises(ValueError, match="4 words and 2 starts, text.max_words=5"):
        text_encoder.check_words(["a red ball", "two"], 5)


def test_all_captions_of_a_row_count(source):
    """Three shots of two words, what they have in common, and their starts."""
    text_encoder.check_rows(source, 12)
    text_encoder.check_rows(source, 0)
    with pytest.raises(ValueError, match="8 words and 4 starts, text.max_words=11"):
        text_encoder.check_rows(source, 11)


def test_motion_only_captions_count_where_they_are_read():
    row = clip_record(0) | {"caption_motion": "it goes and goes"}
    text_encoder.check_rows([row], 4)
    text_encoder.check_rows([row], 5, motion=True)
    with pytest.raises(ValueError, match="4 words and 1 starts, text.max_words=4"):
        text_encoder.check_rows([row], 4, motion=True)

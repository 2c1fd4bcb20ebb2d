import dataclasses
import json
from types import SimpleNamespace

import language_models
import pytest

from seedance_jax.data import tokenizer
from seedance_jax.data.schema import GLOBAL
from seedance_jax.pretrained import language_model
from seedance_jax.sampling import rewriting
from seedance_jax.sampling.shots import parse_prompt

SHOTS = (
    "In a studio. Shot 1 (1s): red ball rolling left Shot 2 (1 s): a dragon on a blue cube, zoom in"
)


def test_nothing_is_rewritten_unless_asked_for():
    assert rewriting.make_rewriter("none")("a red ball") == ("a red ball", "")
    with pytest.raises(ValueError, match=r"rewriter 'big' is not one of \['lm', 'none', 'world'\]"):
        rewriting.make_rewriter("big")


TOLD = {
    0: "A red ball rolls to the left on a grey floor. The camera is static.",
    1: "A blue cube slides to the left on a grey floor. The camera zooms in.",
}


def test_shots_are_rewritten_and_keep_their_marks():
    rewritten = rewriting.make_rewriter("world", slice_name="tiny")(SHOTS)
    assert rewritten.prompt == f"Shot 1 (1s): {TOLD[0]} Shot 2 (1 s): {TOLD[1]}"
    assert "studio, dragon" in rewritten.hint
    assert "assumed: shot 2: another object" in rewritten.hint
    assert rewriting.marks(rewritten.prompt) == [1, 2]


@pytest.mark.parametrize("seconds", [{}, {"duration": 1}])
def test_shots_in_json_are_rewritten_in_the_same_way(seconds):
    rewrite = rewriting.make_rewriter("world", slice_name="tiny")
    texts = ("red ball rolling left", "it stops on a dragon")
    shots = [{"prompt": text, **seconds} for text in texts]
    story = rewrite(f"In a studio. Shot 1: {texts[0]} Shot 2: {texts[1]}")
    expected = parse_prompt(story.prompt).captions
    assert expected[GLOBAL] == "Two shots of a red ball rolling on a grey floor."
    for form in ({"global": "In a studio.", "shots": shots}, shots):
        rewritten = rewrite(json.dumps(form))
        script = parse_prompt(rewritten.prompt)
        assert script.captions == expected
        assert script.durations == ((1, 1) if seconds else None)
        assert "dragon" in rewritten.hint
        assert "assumed: shot 2: the red ball" in rewritten.hint
        assert rewrite(rewritten.prompt) == (rewritten.prompt, "")
    assert rewrite(story.prompt) == (story.prompt, "")
    with pytest.raises(ValueError, match="shot 1: caption ' ' must be text"):
        rewrite("Shot 1: Shot 2: it stops")


def test_several_shots_fit_the_model_without_saying_that_the_camera_is_static():
    texts = ("red ball rolling left", "it stops, zoom in", "it stops")
    prompt = " ".join(f"Shot {number}: {text}" for number, text in enumerate(texts, 1))
    whole = rewriting.make_rewriter("world", slice_name="tiny")(prompt)
    captions = parse_prompt(whole.prompt).captions
    longest = len(captions) + sum(len(text.split()) for text in captions.values())

    def rewrite(max_words, prompt=prompt):
        reader = SimpleNamespace(
            tokenizer=tokenizer.open_tokenizer("bytes"),
            metadata={"text_length": 999},
            max_words=max_words,
        )
        return rewriting.make_rewriter("world", slice_name="tiny", pipeline=reader)(prompt)

    static = " The camera is static."
    assert rewrite(longest) == whole
    for room, left_out in ((1, "3"), (4, "3"), (5, "1, 3"), (99, "1, 3")):
        short = rewrite(longest - room)
        assert short.hint.endswith(f'"{static.strip()}" of shot {left_out}')
        numbers = map(int, left_out.split(", "))
        told = dict(captions) | {n - 1: captions[n - 1].removesuffix(static) for n in numbers}
        assert parse_prompt(short.prompt).captions == told
        assert rewrite(longest - room, short.prompt).prompt == short.prompt
    assert rewrite(3, "red ball").prompt.endswith(static)


def test_a_single_shot_is_told_of_by_one_caption():
    rewrite = rewriting.make_rewriter("world", slice_name="tiny")
    assert rewrite("In a studio. Shot 1 (1s): red ball").prompt == f"Shot 1 (1s): {TOLD[0]}"
    told = rewrite('{"global": "on sand", "shots": [{"prompt": "red ball"}]}').prompt
    assert parse_prompt(told).captions == {0: TOLD[0].replace("grey", "sandy")}


def test_the_sidecar_has_both_prompts():
    rewritten = rewriting.make_rewriter("world", slice_name="tiny")("a red dragon")
    notes = rewriting.notes("world", "a red dragon", rewritten)
    assert notes["original_prompt"] == "a red dragon"
    assert notes["prompt"] == rewritten.prompt
    assert notes["rewriter"] == "world"
    assert "dragon" in notes["rewriter_hint"]
    assert rewriting.notes("none", "a ball", rewriting.keep("a ball")) == {"prompt": "a ball"}


@pytest.fixture(scope="module")
def model(tmp_path_factory, one_device):
    directory = language_models.write_directory(tmp_path_factory.mktemp("chat"))
    return language_model.open_language(directory, one_device, dtype="float32")


def test_the_conversation_is_that_of_chatml(model):
    ids = rewriting.chat_ids(model.tokenizer, "Rewrite.", "a <|im_end|> ball")
    start, end = (model.tokenizer.special[name] for name in ("<|im_start|>", "<|im_end|>"))
    assert (ids.count(start), ids.count(end)) == (3, 2)  # the request cannot end its own turn
    named = [{start: "[", end: "]"}.get(i) or model.tokenizer.decode([i]) for i in ids]
    assert "".join(named) == "[system\nRewrite.]\n[user\na <|im_end|> ball]\n[assistant\n"
    with pytest.raises(ValueError, match=r"no <\|im_start\|> and no <\|im_end\|>"):
        rewriting.chat_ids(tokenizer.BYTES, "Rewrite.", "a ball")


def test_models_that_think_are_given_an_empty_thought(tmp_path):
    special = (*language_models.SPECIAL, "<think>", "</think>")
    language_models.write_tokenizer(tmp_path, special)
    words = tokenizer.open_tokenizer(str(tmp_path))
    ids = rewriting.chat_ids(words, "Rewrite.", "a ball")
    thought = ids.index(words.special["<think>"]), ids.index(words.special["</think>"])
    assert words.to_text(ids[thought[0] : thought[1]]) == "\n\n"
    assert thought[1] - thought[0] == 3


def test_the_model_goes_on_until_its_context_is_full(model):
    ids = list(range(50))
    answer = rewriting.complete(model, ids, new_tokens=5)
    assert answer == rewriting.complete(model, ids, new_tokens=5)
    assert not answer[1]
    ends = dataclasses.replace(model, end_ids=tuple(range(language_models.VOCAB_SIZE)))
    assert rewriting.complete(ends, ids, new_tokens=5) == ("", True)
    with pytest.raises(ValueError, match="has 50 tokens .* 851: the context .* is 900"):
        rewriting.complete(model, ids, new_tokens=851)


@pytest.fixture
def answering(monkeypatch, model):
    """rewrite(prompt, answer): what becomes of an answer of the language model."""

    def rewrite(prompt, answer, ended=True, pipeline=None):
        monkeypatch.setattr(rewriting, "complete", lambda *args, **kwargs: (answer, ended))
        return rewriting.rewrite_with_language(prompt, model=model, pipeline=pipeline)

    return rewrite


def test_an_answer_that_is_of_no_use_leaves_the_prompt_and_says_so(answering):
    assert answering("a ball", " A red ball rolls. ") == ("A red ball rolls.", "")
    assert answering("a ball", "<think>\n\n</think>\n\nA ball.").prompt == "A ball."
    assert answering("a ball", "  ").prompt == "a ball"
    assert "nothing" in answering("a ball", "  ").hint
    lost = answering(SHOTS, "Shot 1: both in one.")
    assert lost.prompt == SHOTS
    assert "shots [1, 2] into [1]" in lost.hint
    assert "are written" in answering("a ball", "Shot 1 - a ball. Shot 2 - a cube.").hint
    with pytest.raises(ValueError, match="not JSON"):
        answering('[{"prompt": "a ball"}]', "A ball.")
    with pytest.raises(ValueError, match="are written"):
        rewriting.make_rewriter("world")("[Shot 1] a ball [Shot 2] a cube")
    kept = "Shot 1: A ball rolls.\nShot 2: A cube stands."
    assert answering(SHOTS, kept) == (kept, "")


def reader(max_words=0, text_length=1000, words=tokenizer.BYTES):
    """What a rewriter asks of a pipeline."""
    metadata = {"text_length": text_length}
    return SimpleNamespace(tokenizer=words, max_words=max_words, metadata=metadata)


def test_an_answer_that_was_cut_off_is_not_used(answering):
    cut = answering("a ball", "A red ball rolls to the", ended=False)
    assert cut.prompt == "a ball"
    assert "had not ended after 512 tokens" in cut.hint


def test_as_many_words_are_asked_for_as_the_pipeline_reads(model):
    ask = rewriting.caption_words
    assert ask("a ball", None) == ask("a ball", reader()) == (40, 90)
    assert ask("a ball", reader(max_words=44)) == (20, 43)
    assert ask("Shot 1: a ball Shot 2: a cube", reader(max_words=44)) == (10, 21)
    assert ask("In a room. Shot 1: a ball Shot 2: a cube", reader(max_words=44)) == (6, 13)
    least, most = ask("a ball", reader(max_words=44, text_length=120))
    assert 15 < most < 25  # some six bytes a word
    assert 0 < least < most
    assert ask("a ball", reader(max_words=1)) == (1, 1)


def test_an_answer_that_the_pipeline_cannot_read_is_not_used(answering):
    long = " ".join(["word"] * 8)
    assert answering("a ball", long, pipeline=reader(max_words=9)).prompt == long
    kept = answering("a ball", long, pipeline=reader(max_words=8))
    assert kept.prompt == "a ball"
    assert "its rewriting has 8 words, the model reads at most 7" in kept.hint


def test_settings_and_directories_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match=r"top_p=1.5, temperature=1.0"):
        rewriting.make_rewriter("lm", directory=str(tmp_path), top_p=1.5)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        rewriting.make_rewriter("lm", directory=str(tmp_path))


def test_prompts_for_models_of_the_world_are_rewritten_unless_told_otherwise():
    config = {"data": {"source": "world"}, "text": {"mode": "joint"}}
    assert rewriting.choose(config, "red dragon rolling left") == "world"
    assert rewriting.choose(config, '[{"prompt": "a"}]') == "world"
    for kept in ("", " "):
        assert rewriting.choose(config, kept) == "none"
    assert rewriting.choose(config | {"data": {"source": "world:3"}}, "a") == "world"
    for others in ("folder", "folder:1", "world:3,folder:1"):
        assert rewriting.choose(config | {"data": {"source": others}}, "a") == "none"
    assert rewriting.choose(config | {"text": {"mode": "frozen"}}, "a") == "none"

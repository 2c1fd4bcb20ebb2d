import numpy as np
import pytest

from seedance_jax.models.public.names import check_shapes


def test_a_report_of_many_names_is_short():
    expected = {f"layer{i}": (2,) for i in range(100)}
    with pytest.raises(ValueError, match=r"net: 0 of 100 .* 100 missing: layer0, .* and 94 more"):
        check_shapes("net", {}, expected)
    check_shapes("net", {name: np.zeros(2) for name in expected}, expected)


@pytest.mark.parametrize(
    "name",
    [
        "rotary_emb.inv_freq",
        "model.layers.3.self_attn.rotary_emb.inv_freq",
        "h.0.attn.masked_bias",
        "embeddings.position_ids",
        "stem.bn.num_batches_tracked",
    ],
)
def test_buffers_of_older_writers_are_ignored_and_said(name, capsys):
    check_shapes("net", {"weight": np.zeros(2), name: np.zeros(7)}, {"weight": (2,)})
    assert capsys.readouterr().out == f"net: 1 buffers that are not needed, ignored: {name}\n"


@pytest.mark.parametrize("name", ["other.weight", "inv_freq_proj.weight", "masked_bias.weight"])
def test_what_is_really_unexpected_is_refused_whatever_is_ignored(name):
    found = {"weight": np.zeros(2), "rotary_emb.inv_freq": np.zeros(4), name: np.zeros(2)}
    with pytest.raises(ValueError, match=f"1 of 1 tensors match; 1 unexpected: {name}$"):
        check_shapes("net", found, {"weight": (2,)})


def test_a_buffer_that_a_model_has_is_no_extra_one(capsys):
    check_shapes("net", {"position_ids": np.zeros(2)}, {"position_ids": (2,)})
    assert not capsys.readouterr().out
    with pytest.raises(ValueError, match="1 missing: position_ids"):
        check_shapes("net", {}, {"position_ids": (2,)})

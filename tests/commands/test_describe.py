import pytest

from configs import pretrain, vae
from seedance_jax.performance import description

CLIP = (5, 64, 96)


def lines(config, **options):
    return list(description.describe(config.to_dict(), CLIP, **options))


def test_a_generator_is_described():
    text = "\n".join(lines(pretrain.get_config("smoke"), devices=4, check=True))
    for words in (
        "latents 2x4x6",
        "24 per frame, 48 of video in all",
        "spatial: text",
        "2,145,776",
        "attention='full'",
        "counted / traced = 1.0000",
        "4 device(s): data=1, fsdp=4",
        "remat='save_attention'",
        "attention logits, float32",
        "is trained with the generator",
    ):
        assert words in text


def test_an_autoencoder_is_described():
    text = "\n".join(lines(vae.get_config("smoke")))
    assert "604,256" in text
    assert "861,696" in text
    with pytest.raises(ValueError, match="are XLA.s already"):
        lines(vae.get_config("smoke"), check=True)


def test_what_cannot_be_described_is_named():
    config = pretrain.get_config("smoke").unlock()
    with pytest.raises(ValueError, match="no latents|4n"):
        list(description.describe(config.to_dict(), (6, 64, 64)))
    config.mesh.tensor = 3
    with pytest.raises(ValueError, match="devices"):
        lines(config, devices=4)
    config.stage = "reward"
    with pytest.raises(ValueError, match=r"stage='reward'; known: .*flow_matching"):
        lines(config)


def test_columns_are_aligned():
    rows = list(description.table(("part", "size"), [("a", "1"), ("longer", "1,000")]))
    assert len({len(row) for row in rows}) == 1

"""Makes qwen.npz: what transformers' Qwen2 and Qwen3 do with known random weights.

    pip install -e ".[parity]" && python tests/golden/make_qwen.py

Weights and inputs come from a recipe, so that the file holds configs and outputs only.
"""

import json
import zlib
from pathlib import Path

import numpy as np

SHARED = {
    "vocab_size": 50,
    "num_hidden_layers": 3,
    "intermediate_size": 56,
    "max_position_embeddings": 64,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SETTINGS = {
    "qwen2": SHARED
    | {
        "hidden_size": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "rope_theta": 1_000_000.0,
    },
    "qwen3": SHARED
    | {
        "hidden_size": 24,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "tie_word_embeddings": False,
        "rope_theta": 5_000_000.0,
        "rms_norm_eps": 1e-5,
    },
}
LENGTHS = (9, 14)  # of the texts of the batch; the first is padded


def weight(name, shape):
    """Values of the tensor `name`, about as large as a trained network's."""
    values = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
    if "norm" in name:
        return (1 + 0.2 * values).astype(np.float32)
    if name.endswith("bias"):
        return values.astype(np.float32)
    scale = 1.0 if "embed" in name else shape[-1] ** -0.5
    return (scale * values).astype(np.float32)


def texts():
    """ids int32 [B, S] and their mask."""
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    ids = np.random.default_rng(0).integers(3, SHARED["vocab_size"], mask.shape)
    return np.where(mask, ids, 0).astype(np.int32), mask


def reference(layout, settings):
    """The causal language model with the weights of the recipe."""
    import torch
    import transformers

    torch.set_grad_enabled(False)
    name = layout.capitalize()
    settings = dict(settings)
    rope = {"rope_type": "default", "rope_theta": settings.pop("rope_theta")}
    config = getattr(transformers, f"{name}Config")(**settings, rope_parameters=rope)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    state = {
        key: torch.from_numpy(weight(key, value.shape)) for key, value in model.state_dict().items()
    }
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model


def run_reference(model, ids, mask):
    """Hidden states [depth + 1, B, S, D] and logits [B, S, V]."""
    import torch

    out = model(
        torch.from_numpy(ids).long(),
        attention_mask=torch.from_numpy(mask).long(),
        output_hidden_states=True,
    )
    return np.stack([state.numpy() for state in out.hidden_states]), out.logits.numpy()


def main():
    arrays = {}
    for layout, settings in SETTINGS.items():
        model = reference(layout, settings)
        hidden, logits = run_reference(model, *texts())
        names = [
            n for n in model.state_dict() if not (settings["tie_word_embeddings"] and "head" in n)
        ]
        shapes = {name: list(model.state_dict()[name].shape) for name in names}
        arrays[f"{layout}_config"] = np.array(json.dumps(model.config.to_dict()))
        arrays[f"{layout}_shapes"] = np.array(json.dumps(shapes))
        arrays[f"{layout}_hidden"], arrays[f"{layout}_logits"] = hidden, logits
        print(layout, hidden.shape, hidden.std(), logits.shape, logits.std())
    np.savez_compressed(Path(__file__).with_name("qwen.npz"), **arrays)


if __name__ == "__main__":
    main()

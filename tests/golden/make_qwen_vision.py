"""Makes qwen_vision.npz: what transformers' Qwen3-VL does with known random weights.

    pip install -e ".[parity]" && python tests/golden/make_qwen_vision.py

Weights and inputs come from a recipe, so that the file holds configs and outputs only.
"""

import json
import zlib
from pathlib import Path

import numpy as np

VISION = {
    "hidden_size": 16,
    "depth": 3,
    "num_heads": 2,
    "intermediate_size": 24,
    "patch_size": 4,
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
    "out_hidden_size": 24,
    "num_position_embeddings": 25,
    "deepstack_visual_indexes": [0, 2],
}
TEXT = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}
# A small base, so that all channels turn by more than what a comparison forgives.
ROPE = {"rope_type": "default", "rope_theta": 50.0, "mrope_section": [4, 2, 2]}
START, END, IMAGE, VIDEO = 50, 51, 52, 53
FRAMES, SIZE, BATCH = 4, (16, 24), 2
GROUPS, TOKENS = 2, 6  # pairs of frames, and visual tokens of one
LENGTHS = (28, 24)  # of the texts; the second is padded


def weight(name, shape):
    """Values of the tensor `name`, about as large as a trained network's."""
    values = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
    if "norm" in name and name.endswith("weight"):
        return (1 + 0.2 * values).astype(np.float32)
    if name.endswith("bias") or "embed." in name or "embed_tokens" in name:
        return (0.5 * values).astype(np.float32)
    return (values * np.prod(shape[1:]) ** -0.5).astype(np.float32)


def videos():
    """float32 [B, T, H, W, 3] in [-1, 1]."""
    shape = (BATCH, FRAMES, *SIZE, 3)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def texts():
    """ids int32 [B, S] with the places of visual tokens, and their mask."""
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    ids = np.random.default_rng(1).integers(1, START, mask.shape)
    frame = [START, *[VIDEO] * TOKENS, END]
    for row, (first, second) in zip(ids, ((3, 13), (0, 9)), strict=True):
        row[first : first + len(frame)] = row[second : second + len(frame)] = frame
    return np.where(mask, ids, 0).astype(np.int32), mask


def patches():
    """Pixels [patches of all videos, C * frames * P * P] in their order, and (t, h, w) of each."""
    patch, (rows, columns) = VISION["patch_size"], (size // 8 for size in SIZE)
    video = videos().reshape(BATCH, GROUPS, 2, rows, 2, patch, columns, 2, patch, 3)
    pixels = video.transpose(0, 1, 3, 6, 4, 7, 9, 2, 5, 8)
    return pixels.reshape(-1, 3 * 2 * patch**2), np.array([[GROUPS, 2 * rows, 2 * columns]] * BATCH)


def reference(text=None):
    """The model with the weights of the recipe."""
    import torch
    import transformers

    torch.set_grad_enabled(False)
    text = TEXT | {"rope_parameters": ROPE} | (text or {})
    config = transformers.Qwen3VLConfig(
        text_config=text,
        vision_config=VISION,
        tie_word_embeddings=text["tie_word_embeddings"],
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )
    model = transformers.Qwen3VLForConditionalGeneration(config).eval()
    state = {n: torch.from_numpy(weight(n, a.shape)) for n, a in model.state_dict().items()}
    if text["tie_word_embeddings"]:
        state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model


def run_reference(model):
    """Last hidden states [B, S, D] and logits [B, S, V]."""
    import torch

    ids, mask = texts()
    pixels, grids = patches()
    out = model.model(
        torch.from_numpy(ids).long(),
        attention_mask=torch.from_numpy(mask).long(),
        pixel_values_videos=torch.from_numpy(pixels),
        video_grid_thw=torch.from_numpy(grids),
        mm_token_type_ids=torch.from_numpy(2 * (ids == VIDEO)).int(),
    )
    hidden = out.last_hidden_state
    return hidden.numpy(), model.lm_head(hidden).numpy()


def main():
    model = reference()
    hidden, logits = run_reference(model)
    shapes = {n: list(a.shape) for n, a in model.state_dict().items() if n != "lm_head.weight"}
    arrays = {"config": json.dumps(model.config.to_dict()), "shapes": json.dumps(shapes)}
    arrays = {name: np.array(text) for name, text in arrays.items()}
    path = Path(__file__).with_name("qwen_vision.npz")
    np.savez_compressed(path, hidden=hidden, logits=logits, **arrays)
    print(hidden.shape, hidden.std(), logits.shape, logits.std(), *sorted(shapes), sep="\n")


if __name__ == "__main__":
    main()

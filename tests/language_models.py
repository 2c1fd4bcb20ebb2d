"""A tiny chat model of random weights, as a Hugging Face directory, for several tests."""

import json
from pathlib import Path

import numpy as np
import tokenizers
from golden import make_qwen as recipe
from safetensors.numpy import save_file

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END, VOCAB_SIZE, WIDTH, CONTEXT = 258, 300, 32, 900


def write_tokenizer(directory, special=SPECIAL):
    """A byte-level tokenizer without merges: 256 ids, then the special tokens."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.models.BPE({token: i for i, token in enumerate(alphabet)}, [])
    built = tokenizers.Tokenizer(model)
    built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = tokenizers.decoders.ByteLevel()
    built.add_special_tokens(list(special))
    built.save(str(directory / "tokenizer.json"))
    settings = {"bos_token": None, "pad_token": "<|endoftext|>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))


def write_directory(directory, scale=1.0):
    """A model of one layer in the layout of Qwen2.5; another `scale` is another model."""
    write_tokenizer(directory)
    config = recipe.SETTINGS["qwen2"] | {
        "model_type": "qwen2",
        "vocab_size": VOCAB_SIZE,
        "num_hidden_layers": 1,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": CONTEXT,
        "eos_token_id": END,
    }
    (directory / "config.json").write_text(json.dumps(config))
    with np.load(Path(recipe.__file__).with_name("qwen.npz")) as golden:
        shapes = json.loads(str(golden["qwen2_shapes"]))
    shapes["model.embed_tokens.weight"] = [VOCAB_SIZE, WIDTH]
    kept = [name for name in shapes if "layers" not in name or "layers.0" in name]
    tensors = {name: scale * recipe.weight(name, shapes[name]) for name in kept}
    save_file(tensors, directory / "model.safetensors")
    return directory

"""What the command line does around the pipeline."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from seedance_jax.pretrained import runs
from seedance_jax.training import release, run_directory


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--gravity=1.6"], "gravity is told to a model that does not know it"),
        (["--fps=24"], "fps=24: the model was trained on 12 and knows no other frame rate"),
        (["--lora_scale=2"], "lora_scale=2.0 does nothing without --lora"),
        (["--lora_scale=nan", "--lora=runs/a"], "lora_scale=nan: must be a finite number"),
        (["--rewriter_top_p=0.5"], "rewriter_top_p=0.5 does nothing without --rewriter=lm"),
        (["--rewriter_model=a", "--rewriter=world"], "rewriter_model=a does nothing without"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(run_command, flags, said):
    with pytest.raises(ValueError, match=said):
        run_command("sample", "--prompt=a ball", *flags)


def test_sizes_that_were_not_trained_on_are_named_once(run_command, tmp_path, capsys):
    rows = [{"prompt": "a red ball", "num_frames": n} for n in (17, 33, 33, 1, 6)]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match="line 5"):  # so nothing is generated
        run_command("sample", f"--prompts_file={prompts}", f"--output={tmp_path}")
    lines = [line for line in capsys.readouterr().out.splitlines() if "trained on" in line]
    assert lines == [
        "33x64x64 (frames x height x width) is no size that the weights were trained on: "
        "17x64x64, 1x64x64"
    ]


def test_released_weights_with_one_that_is_not_finite_are_refused(run_command, tmp_path):
    shutil.copytree(runs.RELEASED, tmp_path / "run")
    path, name = tmp_path / "run" / release.FILE, "text.blocks.attention.value.kernel"
    tensors = load_file(path)
    tensors[name].ravel()[0] = np.nan
    release.save_tensors(tensors, path, {"step": "1"})
    metadata = run_directory.read_json(tmp_path / "run", "metadata.json")
    run_directory.write_json(tmp_path / "run", "metadata.json", metadata | {"step": 1})
    said = rf"run: 1 of \d+ arrays of weights .*, the first is {name.replace('.', '/')}"
    with pytest.raises(ValueError, match=said):
        run_command("sample", "--prompt=a", f"--workdir={tmp_path}/run", f"--output={tmp_path}/out")
    assert not list((tmp_path / "out").iterdir())


def test_a_clip_from_words_imports_neither_data_sets_nor_checkpoints(tmp_path):
    unused = ("grain", "mujoco", "numba", "orbax.checkpoint", "tensorboardX", "tensorflow_datasets")
    code = (
        "import sys; from seedance_jax import __main__ as program\n"
        f"sys.argv = ['seedance', 'sample', '--prompt=a red ball', '--output={tmp_path}',"
        " '--num_frames=1', '--num_inference_steps=1', '--output_type=latent']\n"
        "try:\n    program.main()\n"
        f"finally:\n    print(sorted(sys.modules.keys() & {set(unused)}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

"""What the command line does around the pipeline."""

import json

import pytest


@pytest.mark.parametrize(
    ("flags", "said"),
    [
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

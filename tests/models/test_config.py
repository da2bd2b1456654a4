from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from genre_vae.models.config import CONTRASTIVE, CONVOLUTIONAL, MODELS, TrainConfig


def test_the_config_is_plain_data() -> None:
    config = TrainConfig(model="conv_vae", widths=(4, 8, 8), lr=2e-3)
    assert TrainConfig(**dataclasses.asdict(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]


def test_the_names_of_models_contain_each_other() -> None:
    assert set(CONTRASTIVE) < set(CONVOLUTIONAL) < set(MODELS)
    assert TrainConfig().model in MODELS


def test_the_config_loads_nothing_heavy() -> None:
    """The command line makes one before it knows whether there is anything to train."""
    code = (
        "import sys, genre_vae.models.config; print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy", "sklearn", "scipy", "pandas"} & set(loaded.stdout.split())

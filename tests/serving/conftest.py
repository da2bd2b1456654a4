from __future__ import annotations

from pathlib import Path

import pytest

from genre_vae.collection.catalog import scan
from genre_vae.features.spectral import extract_catalog
from genre_vae.serving.index import ClusterIndex
from tests.serving.indices import Features, index_of


@pytest.fixture(scope="session")
def measured(corpus: Path) -> Features:
    mfcc, mel, _, _ = extract_catalog(scan(corpus), workers=2)
    return mfcc, mel


@pytest.fixture(scope="session")
def index(measured: Features) -> ClusterIndex:
    return index_of(measured, "pca")

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genre_vae.collection.catalog import scan
from genre_vae.features.fusion import combine
from genre_vae.features.spectral import extract_catalog
from genre_vae.records import Geometry
from genre_vae.serving.index import ClusterIndex
from tests.serving.indices import Features, index_of


@pytest.fixture(scope="session")
def measured(corpus: Path) -> Features:
    mfcc, mel, descriptor, *_ = extract_catalog(scan(corpus), workers=2)
    sets = [mfcc, descriptor, mel, combine([mfcc, descriptor], name="mfcc+descriptor")]
    sets.append(mel.derive("mel, first window", mel.values[:, :1]))
    sets.append(replace(mfcc.compared_by(Geometry.COSINE), name="mfcc, cosine"))
    return {one.name: one for one in sets}


@pytest.fixture(scope="session")
def index(measured: Features) -> ClusterIndex:
    return index_of(measured, "pca")

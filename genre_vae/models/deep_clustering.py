"""Improved deep embedded clustering, IDEC: an autoencoder whose codes gather around centres.

Deep embedded clustering (Xie, Girshick & Farhadi, 2016, arXiv:1511.06335) assigns every code softly
to the centres of k-means and then trains towards a sharper version of its own assignment. IDEC (Guo
et al., 2017, "Improved deep embedded clustering with local structure preservation") goes on
reconstructing meanwhile, so that a code still stands for its input.

Axes: ``n`` tracks, ``d`` input dimensions, ``k`` latent dimensions, ``c`` clusters.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from genre_vae import clustering
from genre_vae.models.checkpoint import TrainedModel
from genre_vae.models.members import split
from genre_vae.records import FeatureSet

# weight of the divergence beside the mean squared error, as in the authors' code
GAMMA = 0.1


def soft_assignment(codes: Tensor, centres: Tensor) -> Tensor:
    """The probability of each cluster for each code: Student's t of their distance, with one degree
    of freedom (q of Xie et al.).

    Parameters
    ----------
    codes : (n, k)
    centres : (c, k)

    Returns
    -------
    (n, c)
        Rows that sum to 1; the nearest centre has the highest probability.
    """
    kernel = 1 / (1 + torch.cdist(codes, centres).square())
    return kernel / kernel.sum(dim=1, keepdim=True)


def target_distribution(assignment: Tensor) -> Tensor:
    """A sharper assignment, (n, c) -> (n, c), in which large clusters weigh no more than small
    ones: q squared by the clusters' sizes, and rows that sum to 1 again (p of Xie et al.)."""
    weight = assignment.square() / assignment.sum(dim=0)
    return weight / weight.sum(dim=1, keepdim=True)


def refine(trained: TrainedModel, features: FeatureSet) -> TrainedModel:
    """Train a dense autoencoder further, as IDEC does after its pretraining.

    It ends once no training track has changed its cluster for `patience` epochs, or after as many
    `epochs` as the config allows: a validation loss says nothing of clusters, and the tracks that
    were held out from the autoencoder stay so. The target is made anew in every epoch.

    Parameters
    ----------
    trained
        The autoencoder. Its config has the number of clusters and the seed; equal ones, on equal
        features, give equal weights.
    features : values (n, d)
        The tracks that it was trained on and those held out, found as its training found them.

    Returns
    -------
    TrainedModel
        With other weights. Its history is still that of the pretraining.

    Raises
    ------
    InputError
        If there are fewer than three training tracks.
    """
    config = trained.config
    model = copy.deepcopy(trained.model)
    training = split(features.ids, val_fraction=config.val_fraction, seed=config.seed)
    x = torch.from_numpy(trained.scaler.transform(features.values[training])).to(trained.device)
    with torch.no_grad():
        codes = model.encode(x)[0].cpu().numpy()
    few = min(config.n_clusters, len(x) - 1)  # counted in all tracks, of which these are a part
    found = clustering.cluster(codes, algorithm="k-means", n_clusters=few, seed=config.seed)
    centres = nn.Parameter(torch.from_numpy(clustering.centroids(codes, found)).to(x))
    optimizer = torch.optim.Adam([*model.parameters(), centres], lr=config.lr, fused=True)
    generator = torch.Generator().manual_seed(config.seed)
    clusters, unchanged = torch.from_numpy(found).to(x.device), 0
    for _ in range(config.epochs):
        with torch.no_grad():
            assignment = soft_assignment(model.encode(x)[0], centres)
        before, clusters = clusters, assignment.argmax(dim=1)
        unchanged = unchanged + 1 if clusters.equal(before) else 0
        if unchanged >= config.patience:
            break
        target = target_distribution(assignment)
        order = torch.randperm(len(x), generator=generator)
        for rows in torch.split(order, config.batch_size):
            output = model(x[rows])
            error = (output.reconstruction - x[rows]).square().mean()
            log_assignment = soft_assignment(output.mean, centres).log()
            divergence = nn.functional.kl_div(log_assignment, target[rows], reduction="batchmean")
            optimizer.zero_grad()
            (error + GAMMA * divergence).backward()
            optimizer.step()
    return replace(trained, model=model.eval())

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from genre_vae.models.networks import Output
from genre_vae.models.objective import elbo, loss, nt_xent, optimal_variance


def output(b: int = 5, k: int = 3, d: int = 7, *, seed: int = 0) -> tuple[torch.Tensor, Output]:
    g = torch.Generator().manual_seed(seed)
    x, reconstruction = torch.randn(2, b, d, generator=g)
    mean, logvar = torch.randn(2, b, k, generator=g)
    return x, Output(reconstruction, mean, logvar)


def test_kl_of_the_standard_normal_is_zero() -> None:
    x, out = output()
    found = elbo(x, out._replace(mean=torch.zeros(5, 3), logvar=torch.zeros(5, 3)), beta=1)
    assert found.kl == 0


def test_kl_is_torchs_summed_over_dimensions_averaged_over_the_batch() -> None:
    x, out = output()
    assert out.logvar is not None
    code = Normal(out.mean, (out.logvar / 2).exp())
    expected = kl_divergence(code, Normal(0, 1)).sum(1).mean()
    torch.testing.assert_close(elbo(x, out, beta=1).kl, expected)


def test_reconstruction_is_a_sum_over_dimensions() -> None:
    """Twice the dimensions is twice the error: a mean would make beta mean something else."""
    x, out = output()
    assert out.reconstruction is not None
    doubled = out._replace(reconstruction=torch.cat([out.reconstruction] * 2, dim=1))
    once = elbo(x, out, beta=1).reconstruction
    torch.testing.assert_close(once, (x - out.reconstruction).square().sum() / 5)
    twice = elbo(torch.cat([x, x], dim=1), doubled, beta=1).reconstruction
    torch.testing.assert_close(twice, 2 * once)


def test_images_count_like_vectors() -> None:
    x, out = output(d=8)
    assert out.reconstruction is not None
    image = elbo(
        x.reshape(5, 1, 2, 4),
        out._replace(reconstruction=out.reconstruction.reshape(5, 1, 2, 4)),
        beta=1,
    )
    torch.testing.assert_close(image, elbo(x, out, beta=1))


def test_repeating_the_batch_changes_nothing() -> None:
    x, out = output()
    repeated = Output(*(torch.cat([part, part]) for part in out if part is not None))
    torch.testing.assert_close(elbo(torch.cat([x, x]), repeated, beta=2), elbo(x, out, beta=2))


@pytest.mark.parametrize("beta", [0.0, 0.5, 4.0])
def test_beta_weighs_the_kl_and_nothing_else(beta: float) -> None:
    x, out = output()
    found = elbo(x, out, beta=beta)
    torch.testing.assert_close(found.total, found.reconstruction + beta * found.kl)


def test_an_autoencoder_has_no_kl() -> None:
    x, out = output()
    found = elbo(x, out._replace(logvar=None), beta=100)
    assert found.kl == 0
    assert found.total == found.reconstruction


@pytest.mark.parametrize("variance", [0.02, 0.5, 3.0])
def test_with_a_variance_reconstruction_is_torchs_negative_log_likelihood(variance: float) -> None:
    x, out = output()
    assert out.reconstruction is not None
    decoder = Normal(out.reconstruction, math.sqrt(variance))
    surprise = -decoder.log_prob(x).sum(1).mean()  # type: ignore[no-untyped-call]
    found = elbo(x, out, beta=2, variance=torch.tensor(variance))
    torch.testing.assert_close(found.reconstruction, surprise)
    torch.testing.assert_close(found.total, surprise + 2 * found.kl)


def test_without_a_variance_it_is_a_half_and_only_the_constant_is_missing() -> None:
    x, out = output(d=7)
    bound = elbo(x, out, beta=4, variance=torch.tensor(0.5)).total
    torch.testing.assert_close(elbo(x, out, beta=4).total + 3.5 * math.log(math.pi), bound)


@pytest.mark.parametrize("factor", [0.5, 0.99, 1.01, 2.0])
def test_no_other_variance_makes_the_batch_more_likely(factor: float) -> None:
    x, out = output()
    best = optimal_variance(x, out)
    assert (
        elbo(x, out, beta=1, variance=best).total < elbo(x, out, beta=1, variance=factor * best)[0]
    )


def test_at_its_optimum_the_bound_is_the_squared_error_with_a_beta_that_follows_it() -> None:
    """The gradient is that of the error + 2 variance beta KL, divided by twice the variance, and
    also that of d/2 times the logarithm of the error."""
    x, out = output(d=7)

    def gradient(objective: Callable[[Output, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        parts = [part.clone().requires_grad_() for part in out if part is not None]
        made = Output(*parts)
        found = torch.autograd.grad(objective(made, optimal_variance(x, made)), parts)
        return torch.cat([part.flatten() for part in found])

    bound = gradient(lambda made, v: elbo(x, made, beta=3, variance=v).total)
    weighed = gradient(lambda made, v: elbo(x, made, beta=3 * 2 * v.item()).total)
    torch.testing.assert_close(bound, weighed / (2 * optimal_variance(x, out)))

    def logarithm(made: Output, _: torch.Tensor) -> torch.Tensor:
        found = elbo(x, made, beta=3)
        return 3.5 * found.reconstruction.log() + 3 * found.kl

    torch.testing.assert_close(bound, gradient(logarithm))


def test_each_member_has_its_own_variance() -> None:
    (x, one), (y, two) = output(seed=0), output(seed=1)
    batch, (_, both) = torch.cat([x, y]), output(b=10)
    for place, made in enumerate((one, two)):
        for part, own in zip(both, made, strict=True):
            if part is not None and own is not None:
                part[5 * place : 5 * place + 5] = own
    variance = optimal_variance(batch, both, members=2)
    alone = torch.stack([optimal_variance(x, one), optimal_variance(y, two)])
    torch.testing.assert_close(variance, alone)
    found = elbo(batch, both, beta=1, variance=variance, members=2).total
    expected = [elbo(x, one, beta=1, variance=alone[0]), elbo(y, two, beta=1, variance=alone[1])]
    torch.testing.assert_close(found, torch.stack([each.total for each in expected]))


def projections(b: int = 5, views: int = 2, p: int = 4, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(views * b, p, generator=torch.Generator().manual_seed(seed))


def one_by_one(projected: torch.Tensor, temperature: float, views: int) -> float:
    """NT-Xent from its definition: an anchor, a companion and everybody else at a time."""
    b = len(projected) // views
    similar = torch.nn.functional.cosine_similarity(projected[:, None], projected[None], dim=2)
    exponential = (similar / temperature).exp()
    losses = []
    for anchor in range(len(projected)):
        others = [other for other in range(len(projected)) if other != anchor]
        companions = [other for other in others if other % b == anchor % b]
        everybody = sum(exponential[anchor, other] for other in others)
        losses += [-(exponential[anchor, one] / everybody).log().item() for one in companions]
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("views", "temperature"), [(2, 0.2), (2, 1.0), (3, 0.5)])
def test_the_contrastive_term_is_its_definition(views: int, temperature: float) -> None:
    projected = projections(views=views)
    found = nt_xent(projected, temperature=temperature, views=views)
    assert found.item() == pytest.approx(one_by_one(projected, temperature, views), rel=1e-5)


def test_the_contrastive_term_is_zero_for_perfect_and_log_for_blind_projections() -> None:
    perfect = torch.eye(4).repeat(2, 1)
    assert nt_xent(perfect, temperature=0.01, views=2).item() == pytest.approx(0, abs=1e-6)
    blind = torch.ones(8, 3)
    assert nt_xent(blind, temperature=0.2, views=2).item() == pytest.approx(math.log(7), rel=1e-6)
    crossed = torch.cat([torch.eye(4), torch.eye(4).roll(1, 0)])  # sure, and wrong
    assert nt_xent(crossed, temperature=0.2, views=2).item() > math.log(7)


def test_the_contrastive_term_heeds_neither_order_nor_length_nor_which_view_is_first() -> None:
    projected = projections()
    once = nt_xent(projected, temperature=0.2, views=2)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(1))
    for same in (
        projected[torch.cat([order, order + 5])],
        projected * torch.arange(1, 11)[:, None],
        projected.roll(5, 0),
    ):
        torch.testing.assert_close(nt_xent(same, temperature=0.2, views=2), once)


def test_a_track_alone_has_a_contrast_of_zero() -> None:
    projected = projections(b=1).requires_grad_()
    found = nt_xent(projected, temperature=0.2, views=2)
    found.backward()  # type: ignore[no-untyped-call]
    assert found.item() == pytest.approx(0, abs=1e-6)
    assert projected.grad is not None
    assert projected.grad.abs().max() < 1e-6


def test_members_do_not_see_each_other() -> None:
    one, two = projections(seed=0), projections(seed=1)
    both = nt_xent(torch.cat([one, two]), temperature=0.2, views=2, members=2)
    alone = torch.stack([nt_xent(each, temperature=0.2, views=2) for each in (one, two)])
    torch.testing.assert_close(both, alone)


@pytest.mark.parametrize("contrast", [0.5, 300.0])
def test_the_loss_is_the_elbo_and_the_weighed_contrast(contrast: float) -> None:
    x, out = output(b=10)
    projected = projections()
    found = loss(
        x, out._replace(projection=projected), beta=2, contrast=contrast, temperature=0.3, views=2
    )
    bound, term = elbo(x, out, beta=2), nt_xent(projected, temperature=0.3, views=2)
    torch.testing.assert_close(found.contrast, term)
    torch.testing.assert_close(found.total, bound.total + contrast * term)
    torch.testing.assert_close(found[1:3], bound[1:3])
    calibrated = loss(
        x,
        out._replace(projection=projected),
        beta=2,
        variance=torch.tensor(0.01),
        contrast=contrast,
        temperature=0.3,
        views=2,
    )
    nats = elbo(x, out, beta=2, variance=torch.tensor(0.01)).total
    torch.testing.assert_close(calibrated.total, nats + contrast * term)
    torch.testing.assert_close(loss(x, out, beta=2, contrast=contrast), bound)  # nothing to compare


def test_an_encoder_alone_has_only_the_contrast() -> None:
    x, out = output(b=10)
    alone = Output(None, out.mean, None, projections())
    found = loss(x, alone, beta=3, contrast=1, views=2)
    assert found.reconstruction == found.kl == 0
    assert found.total == found.contrast > 0

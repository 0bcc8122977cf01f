"""Formulas over matched rows and swapped partners: known answers, parity, invariances, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from clapbench.probes.align_uniform import alignment
from clapbench.probes.cka import debiased_cka
from clapbench.probes.lidar import lidar, shrunk_lidar
from clapbench.probes.mutual_knn import mutual_knn
from clapbench.probes.relative_gap import relative_modality_gap
from clapbench.probes.separability import linear_separability
from clapbench.probes.swap import swap_alignment, swap_separation


def cloud(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Known answers and parity


def test_alignment_and_relative_gap_by_hand():
    audio, text = cloud(9, 4, seed=3), cloud(9, 4, seed=4)
    u, v = (x / x.norm(dim=1, keepdim=True) for x in (audio, text))
    between = ((u - v) ** 2).sum(dim=1).mean().item()
    within = np.mean([torch.pdist(x).square().mean().item() for x in (u, v)])
    assert alignment(audio, text).item() == pytest.approx(between, rel=1e-12)
    assert relative_modality_gap(audio, text).item() == pytest.approx(between / (between + within), rel=1e-12)


def test_cka_is_the_sum_over_the_kernel_matrices():
    def hsic(k: np.ndarray, h: np.ndarray) -> float:
        n, one = len(k), np.ones(len(k))
        k, h = k - np.diag(np.diag(k)), h - np.diag(np.diag(h))
        third = 2 / (n - 2) * one @ k @ h @ one
        return np.trace(k @ h) + (one @ k @ one) * (one @ h @ one) / ((n - 1) * (n - 2)) - third

    x, y = cloud(30, 40, seed=5) + 2, cloud(30, 7, seed=6) - 1
    y[:, :3] += x[:, :3]
    k, h = ((rows @ rows.T).numpy() for rows in (x, y))
    by_hand = hsic(k, h) / np.sqrt(hsic(k, k) * hsic(h, h))
    assert debiased_cka(x, y).item() == pytest.approx(by_hand, rel=1e-9)


def test_cka_of_independent_sides_is_0_in_the_mean_with_more_dimensions_than_rows():
    values = [debiased_cka(cloud(20, 100, seed=s), cloud(20, 100, seed=s + 500)).item() for s in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert np.std(values) < 0.2  # plain CKA is above 0.8 here


def test_mutual_knn_by_hand_and_by_chance():
    x, y = cloud(40, 5, seed=7), cloud(40, 6, seed=8)
    near = []
    for rows in (x, y):
        u = rows / rows.norm(dim=1, keepdim=True)
        near.append((u @ u.T).fill_diagonal_(-2).topk(6).indices.tolist())
    by_hand = np.mean([len(set(a) & set(t)) / 6 for a, t in zip(*near, strict=True)])
    assert mutual_knn(x, y, k=6).item() == pytest.approx(by_hand, rel=1e-12)
    far = mutual_knn(cloud(2000, 5, seed=9), cloud(2000, 5, seed=10), k=10).item()
    assert far == pytest.approx(10 / 1999, abs=0.002)


def test_mutual_knn_does_not_depend_on_the_order_of_rows_that_tie():
    captions = cloud(30, 6, seed=28).repeat_interleave(2, dim=0)  # of a bag of words: partners are equal
    clips = cloud(60, 5, seed=29)
    whole = mutual_knn(clips, captions, k=4).item()
    for seed in range(5):
        order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
        assert mutual_knn(clips[order], captions[order], k=4).item() == pytest.approx(whole, rel=1e-12)


def test_mutual_knn_of_ties_is_the_mean_over_lots():
    corners = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # two others at one distance
    line = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.3, 1.0], [-1.0, 0.2]])
    nearest = [1, 0, 1, 2]  # on the line, each row's one nearest
    chance = [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5], [0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0]]
    by_hand = np.mean([row[place] for row, place in zip(chance, nearest, strict=True)])
    assert mutual_knn(corners, line, k=1).item() == pytest.approx(by_hand, rel=1e-12)
    everybody = mutual_knn(corners, line, k=3).item()
    assert everybody == pytest.approx(1, rel=1e-12)


def test_separability_of_halfspaces_and_of_one_cloud():
    x = cloud(400, 6, seed=11)
    away = torch.zeros(6, dtype=torch.float64)
    away[2] = 8.0
    groups = torch.arange(400)
    assert linear_separability(x, x + away, groups=groups).item() == 1
    assert linear_separability(x, cloud(400, 6, seed=12), groups=groups).item() == pytest.approx(
        0.5, abs=0.06
    )
    assert linear_separability(x, x, groups=groups).item() == 0.5  # every score is 0


def test_separability_is_of_rows_held_out():
    """With more dimensions than rows every labelling can be fitted; unseen rows are guessed all the same."""
    audio, text = cloud(60, 500, seed=13), cloud(60, 500, seed=14)
    assert linear_separability(audio, text, groups=torch.arange(60)).item() == pytest.approx(0.5, abs=0.12)


def test_separability_keeps_a_group_together():
    """Ten copies of each pair: a hyperplane remembers them unless all are held out."""
    audio, text = (cloud(30, 200, seed=seed).repeat(10, 1) for seed in (15, 16))
    apart = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    leaky = linear_separability(audio, text, groups=apart).item()
    assert leaky > 0.95
    honest = linear_separability(audio, text, groups=torch.arange(30).repeat(10)).item()
    assert honest == pytest.approx(0.5, abs=0.15)


def test_lidar_is_the_rank_of_the_generalised_eigenproblem():
    views = cloud(50, 6, seed=17)[:, None] * torch.arange(1, 7) + cloud(150, 6, seed=18).reshape(50, 3, 6)
    means = views.mean(dim=1)
    within = (views - means[:, None]).reshape(-1, 6).numpy()
    scatter = within.T @ within / 100
    scatter += 1e-4 * np.trace(scatter) / 6 * np.eye(6)
    share = scipy.linalg.eigh(np.cov(means.numpy().T), scatter, eigvals_only=True)
    share /= share.sum()
    assert lidar(views).item() == pytest.approx(np.exp(-share @ np.log(share)), rel=1e-9)


def test_shrunk_lidar_is_as_lidar_with_many_items_and_finds_directions_with_few():
    strong = cloud(4000, 6, seed=30)[:, None] * torch.arange(1, 7)
    many = strong + cloud(8000, 6, seed=31).reshape(4000, 2, 6) * torch.tensor([1.0, 2, 1, 3, 1, 1])
    assert shrunk_lidar(many).item() == pytest.approx(lidar(many).item(), rel=0.01)
    basis = torch.linalg.qr(cloud(200, 5, seed=32)).Q.T  # five directions of 200, told by 60 pairs
    few = (10 * cloud(60, 5, seed=33) @ basis)[:, None] + 0.1 * cloud(120, 200, seed=34).reshape(60, 2, 200)
    assert shrunk_lidar(few).item() == pytest.approx(5, abs=0.5)
    assert shrunk_lidar(few.flip(1) * 7).item() == pytest.approx(shrunk_lidar(few).item(), rel=1e-9)


def test_swap_separation_of_bags_of_words_and_of_strangers():
    x = cloud(600, 8, seed=19)
    partners = torch.arange(600).reshape(-1, 2)
    assert swap_separation(x, partners).item() == pytest.approx(1, abs=0.06)
    assert swap_separation(x.repeat_interleave(2, dim=0), torch.arange(1200).reshape(-1, 2)).item() == 0
    every = torch.combinations(torch.arange(30))
    assert swap_separation(x[:30], every).item() == pytest.approx(1, rel=1e-12)


def test_swap_alignment_is_above_0_where_the_whole_item_is_put_together_right():
    clips, captions = cloud(40, 3, seed=20).reshape(20, 2, 3), cloud(40, 3, seed=21).reshape(20, 2, 3)
    clips, captions = (x / x.norm(dim=2, keepdim=True) for x in (clips, captions))
    for clip, caption in zip(clips, captions, strict=True):
        s = caption @ clip.T
        value = swap_alignment(clip[None], caption[None]).item()
        assert (value > 0) == bool(s[0, 0] + s[1, 1] > s[0, 1] + s[1, 0])
    assert swap_alignment(clips, 3 * clips).item() == pytest.approx(1, rel=1e-12)
    assert swap_alignment(clips, clips.flip(1)).item() == pytest.approx(-1, rel=1e-12)
    equal = torch.cat(
        [captions, captions[:1, :1].expand(20, 2, 3)]
    )  # items whose captions are one row count 0
    both = swap_alignment(torch.cat([clips, clips]), equal).item()
    assert both == pytest.approx(swap_alignment(clips, captions).item() / 2, rel=1e-12)


def test_swap_alignment_of_a_bag_of_words_is_0():
    captions = cloud(20, 3, seed=26)[:, None].expand(20, 2, 3)  # a swap moves none of them
    assert swap_alignment(cloud(40, 3, seed=27).reshape(20, 2, 3), captions).item() == 0


def test_rotation_does_not_matter_to_any_and_scale_to_none():
    turn = torch.linalg.qr(cloud(6, 6, seed=22)).Q
    audio, text = cloud(40, 6, seed=23), cloud(40, 6, seed=24)
    groups, partners = torch.arange(40), torch.arange(40).reshape(-1, 2)
    for of in (
        alignment,
        debiased_cka,
        mutual_knn,
        relative_modality_gap,
        lambda a, t: linear_separability(a, t, groups=groups),
        lambda a, t: lidar(torch.stack([a, t], dim=1)),
        lambda a, t: shrunk_lidar(torch.stack([a, t], dim=1)),
        lambda a, t: swap_separation(a, partners),
        lambda a, t: swap_alignment(a.reshape(-1, 2, 6), t.reshape(-1, 2, 6)),
    ):
        assert of(3 * audio @ turn, 3 * text @ turn).item() == pytest.approx(of(audio, text).item(), rel=1e-9)
    apart = debiased_cka(audio @ turn, 2 * text + 1).item()  # each side on its own
    assert apart == pytest.approx(debiased_cka(audio, text).item(), rel=1e-9)


# Refusals


def same(n: int) -> Tensor:
    return torch.full((n, 3), 0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: alignment(torch.zeros(2, 3), torch.ones(2, 3)), "alignment: row 0 is all zeros"),
        (lambda: alignment(torch.ones(0, 3), torch.ones(0, 3)), "needs at least 1 row, got 0"),
        (lambda: debiased_cka(torch.eye(3), torch.eye(3)), "at least 4 matched rows, got 3"),
        (lambda: debiased_cka(same(9), cloud(9, 3, seed=0)), r"debiased_cka \(audio\): all 9 rows are equal"),
        (lambda: debiased_cka(torch.eye(9), torch.eye(9)), "HSIC of audio with itself is .* not above 0"),
        (lambda: mutual_knn(torch.eye(5), torch.eye(5), k=5), r"\(audio\): k=5 needs at least 6"),
        (lambda: mutual_knn(torch.eye(5), torch.ones(5, 5), k=2), r"\(text\): all 5 rows are equal"),
        (lambda: relative_modality_gap(same(1), same(1)), "at least 2 matched rows, got 1"),
        (lambda: relative_modality_gap(torch.zeros(2, 3), same(2)), "audio row 0 is all zeros"),
        (lambda: linear_separability(same(9), same(9), groups=torch.arange(9)), "rows are equal"),
        (lambda: linear_separability(same(9), same(9), groups=torch.arange(9) // 5), "5 folds and 2 groups"),
        (lambda: linear_separability(same(9), same(9), groups=torch.arange(9), folds=1), "got 1 folds"),
        (lambda: lidar(torch.ones(3, 2, 4)), r"n \(q - 1\) >= d; got n=3, q=2, d=4"),
        (lambda: lidar(torch.ones(9, 2, 4)), "the views of one item do not differ"),
        (lambda: lidar(torch.eye(2).repeat(9, 1, 1)), "the items do not differ"),
        (lambda: lidar(torch.full((9, 2, 2), torch.nan)), "finite views"),
        (lambda: lidar(torch.eye(2).repeat(9, 1, 1), delta=-1.0), "delta must be 0 or more"),
        (lambda: swap_separation(same(4), torch.tensor([[0, 1]])), "all 4 rows are equal"),
        (lambda: swap_separation(same(4), torch.zeros(0, 2).long()), "swapped partners, got 0"),
        (lambda: shrunk_lidar(torch.ones(1, 2, 4)), "at least 2 items and 2 views, got n=1, q=2"),
        (lambda: shrunk_lidar(torch.ones(9, 2, 4)), "shrunk_lidar: undefined: the views of one item do not"),
        (lambda: swap_alignment(torch.full((1, 2, 3), torch.inf), torch.ones(1, 2, 3)), "needs finite rows"),
    ],
)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()

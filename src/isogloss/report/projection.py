"""Points of many dimensions in the plane: exact t-SNE, started from the first two principal components.

Source: van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 9, 2008; the start and the step size after Kobak and
Berens, "The art of using t-SNE for single-cell transcriptomics", Nature Communications 10, 2019. No chance is in it: the
same points give the same picture. Work and memory grow with the square of their number: for hundreds, not thousands.

    p_j|i ∝ exp(−‖x_i − x_j‖² / 2σ_i²), σ_i such that their perplexity is the one asked for;  p_ij = (p_j|i + p_i|j) / 2N
    q_ij ∝ 1 / (1 + ‖y_i − y_j‖²);  minimise KL(p ‖ q):  ∂/∂y_i = 4 Σ_j (p_ij − q_ij)(y_i − y_j) / (1 + ‖y_i − y_j‖²)
"""

from __future__ import annotations

import numpy as np

EXAGGERATED = 100  # steps with p four times as large, in which clusters form
EXAGGERATION = 4.0


def tsne(points: np.ndarray, perplexity: float = 30.0, num_steps: int = 400) -> np.ndarray:
    """[N, D] → [N, 2]; float64. perplexity: about how many neighbours count, at most a third of N."""
    num = len(points)
    u, s, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    start = np.pad(u * s, [(0, 0), (0, 2)])[:, :2]
    y = 1e-4 * start / max(start[:, 0].std(), 1e-12)
    square = _square_distances(points)
    p = _joint(square / (np.median(square) or 1.0), min(perplexity, (num - 1) / 3))
    rate = max(num / EXAGGERATION, 50.0)
    velocity, gain = np.zeros_like(y), np.ones_like(y)
    for step in range(num_steps):
        pull = p * (EXAGGERATION if step < EXAGGERATED else 1.0)
        kernel = 1 / (1 + _square_distances(y))
        np.fill_diagonal(kernel, 0)
        force = (pull - kernel / kernel.sum()) * kernel
        gradient = 4 * (force.sum(axis=1, keepdims=True) * y - force @ y)
        gain = np.maximum(np.where(np.sign(gradient) == np.sign(velocity), gain * 0.8, gain + 0.2), 0.01)
        velocity = (0.5 if step < EXAGGERATED else 0.8) * velocity - rate * gain * gradient
        y = y + velocity
        y -= y.mean(axis=0)
    return y


def _joint(square: np.ndarray, perplexity: float) -> np.ndarray:
    """[N, N] p_ij; the precision 1/2σ² of every row is found by bisection."""
    num = len(square)
    inside = square + np.diag(np.full(num, np.inf))
    inside = inside - inside.min(axis=1, keepdims=True)  # a factor that cancels
    low, high = np.zeros(num), np.full(num, np.inf)
    precision = np.ones(num)
    for _ in range(60):
        weights = np.exp(-inside * precision[:, None])
        rows = weights / weights.sum(axis=1, keepdims=True)
        entropy = -np.sum(rows * np.log(np.maximum(rows, 1e-300)), axis=1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, precision, low), np.where(wide, high, precision)
        precision = np.where(np.isinf(high), 2 * precision, (low + high) / 2)
    return (rows + rows.T) / (2 * num)


def _square_distances(points: np.ndarray) -> np.ndarray:
    norms = (points**2).sum(axis=1)
    square = norms[:, None] + norms - 2 * points @ points.T
    np.fill_diagonal(square, 0)
    return np.maximum(square, 0)

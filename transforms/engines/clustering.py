"""Which voice embeddings belong to one speaker, and how many speakers there are.

Spectral clustering (Wang et al. 2018, "Speaker Diarization with LSTM": its affinity refinement
and its eigengap) separates overlapping, elongated clusters that thresholds on single windows
break up. It always splits, though: left alone it makes 2 to 7 speakers of every monologue. So
each split must pass a test, *are these two groups one speaker?*, which compares the mean
similarity between two groups with the mean similarity inside them. Pieces of one reader score
.92 and more (19 of 20 splits), two of 27 readers .51 to .81 (90 of 100 pairs; 3 of 351 reach the
threshold and would be taken for one). Groups that pass are split again, so the number of
speakers has no ceiling.

Spectral clustering is cubic in time and quadratic in memory, so it sees at most `block` windows;
the groups of all blocks are then linked by the same test on their sums alone.

Deterministic: no random starts (k-means begins at the most central point and goes on with the
farthest), no dependence on the sign of eigenvectors, one thread.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from transforms.engines.voice import Float32, one_thread

Labels = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

SAME_SPEAKER = 0.85  # of 396 files of one speaker 395 stay whole (benchmarks/diarization.py)
BLOCK = 2000  # windows: 27 minutes of speech; 4 hours of it took 130 MB above the model
FEWEST = 3  # windows of a speaker; fewer are noise, a laugh, two voices at once
MOST_PER_SPLIT = 10  # groups the eigengap may choose in one split
# The similarity inside a group says how clean its sound is, but a group that is itself a mixture
# of speakers has a low one too (.5, a speaker in a noisy room .6): it counts as at least this.
_LEAST_INSIDE, _MOST_INSIDE, _USUAL_INSIDE = 0.63, 0.85, 0.70
_STRANGERS = 0.5  # mean similarity of two groups below which the linkage keeps them apart
_ROUNDS = 100  # of k-means; 4 are usual


def clusters(
    embeddings: Float32,
    *,
    block: int = BLOCK,
    same_speaker: float = SAME_SPEAKER,
    max_speakers: int | None = None,
) -> Labels:
    """A speaker for every window, [n], counted from 0 in order of first appearance.

    `embeddings`: unit vectors [n, d] of one channel, in order of time. Fewer than 6 windows are
    one speaker. `same_speaker`: similarity between two groups, as a share of the similarity
    inside them, from which they are one speaker. `max_speakers`: the most similar groups are
    joined until so many are left.
    """
    count = len(embeddings)
    if count < 2 * FEWEST or max_speakers == 1:
        return np.zeros(count, dtype=np.int64)
    vectors = embeddings.astype(np.float64)
    labels = np.zeros(count, dtype=np.int64)
    groups: list[_Group] = []
    with one_thread():
        for start, end in blocks(count, block):
            part = vectors[start:end]
            found = _ordered(_block_labels(part, same_speaker))
            labels[start:end] = found + len(groups)
            groups.extend(_groups(part, found))
        linked = _joined(groups, same_speaker, max_speakers)
    return _ordered(linked[labels])


def blocks(count: int, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of nearly equal length, at most `most`, that cover `count` windows in order."""
    pieces = -(-count // most)
    for piece in range(pieces):
        yield piece * count // pieces, (piece + 1) * count // pieces


@dataclasses.dataclass(frozen=True, slots=True)
class _Group:
    """Windows of one speaker, as much of them as the test needs."""

    total: Float64  # sum of the unit vectors, [d]
    count: int
    inside: float  # mean similarity of two of its windows that share no sound

    def plus(self, other: "_Group") -> "_Group":
        count = self.count + other.count
        between = float(self.total @ other.total)
        inside = self.inside * self.count**2 + other.inside * other.count**2 + 2 * between
        return _Group(self.total + other.total, count, inside / count**2)


def _groups(vectors: Float64, labels: Labels) -> list[_Group]:
    """One group per label 0..k-1. Neighbouring windows overlap by half: they do not count."""
    found = []
    for label in range(int(labels.max()) + 1):
        chosen = labels == label
        own = vectors[chosen]
        total, count = own.sum(axis=0), len(own)
        pairs = chosen[:-1] & chosen[1:]
        near = float(np.sum(vectors[:-1][pairs] * vectors[1:][pairs]))
        number = count * count - count - 2 * int(pairs.sum())
        inside = (float(total @ total) - count - 2 * near) / number if number else _USUAL_INSIDE
        found.append(_Group(total, count, inside))
    return found


def _joined(groups: list[_Group], same_speaker: float, most: int | None) -> Labels:
    """For every group the number of the group it becomes part of: most similar pair first."""
    parts = [[index] for index in range(len(groups))]
    groups = list(groups)
    totals = np.stack([group.total for group in groups])
    while len(groups) > 1:
        counts = np.array([group.count for group in groups], dtype=np.float64)
        inside = np.clip([group.inside for group in groups], _LEAST_INSIDE, _MOST_INSIDE)
        between = (totals @ totals.T) / np.outer(counts, counts)
        share = between / np.sqrt(np.outer(inside, inside))
        share[np.tril_indices(len(groups))] = -np.inf
        first, second = divmod(int(np.argmax(share)), len(groups))
        if share[first, second] < same_speaker and (most is None or len(groups) <= most):
            break
        groups[first] = groups[first].plus(groups.pop(second))
        parts[first] += parts.pop(second)
        totals[first] = groups[first].total
        totals = np.delete(totals, second, axis=0)
    linked = np.zeros(sum(len(part) for part in parts), dtype=np.int64)
    for label, part in enumerate(parts):
        linked[part] = label
    return linked


def _block_labels(vectors: Float64, same_speaker: float) -> Labels:
    labels = _split(vectors, same_speaker)
    labels = _ordered(_joined(_groups(vectors, labels), same_speaker, None)[labels])
    labels = _ordered(_nearest(vectors, labels, np.unique(labels)))
    return _without_tiny(vectors, labels, FEWEST)


def _split(vectors: Float64, same_speaker: float) -> Labels:
    """Labels 0..k-1: split, join what is one speaker after all, and split each group again."""
    count = len(vectors)
    if count < 2 * FEWEST:
        return np.zeros(count, dtype=np.int64)
    for tried in (_spectral, _by_linkage):
        labels = _without_tiny(vectors, tried(vectors), FEWEST - 1)
        labels = _joined(_groups(vectors, labels), same_speaker, None)[labels]
        labels = _without_tiny(vectors, labels, FEWEST)
        if labels.max() > 0:
            break
    else:
        return labels
    result = np.zeros(count, dtype=np.int64)
    used = 0
    for label in range(int(labels.max()) + 1):
        chosen = np.flatnonzero(labels == label)
        finer = _split(vectors[chosen], same_speaker)
        result[chosen] = finer + used
        used += int(finer.max()) + 1
    return result


def _spectral(vectors: Float64) -> Labels:
    """Two to `MOST_PER_SPLIT` groups by spectral clustering, [n]."""
    from scipy.linalg import eigh

    count = len(vectors)
    refined = _refined_affinity(vectors)
    # The paper divides each row by its largest entry and takes eigenvectors of what is no longer
    # symmetric; scaling rows and columns by the root is similar to it (same eigenvalues, scaled
    # eigenvectors) and lets a symmetric solver look for the few that are needed.
    scale = 1 / np.sqrt(refined.max(axis=1))
    refined *= scale[:, None]
    refined *= scale
    wanted = min(MOST_PER_SPLIT + 1, count)
    values, columns = eigh(
        refined, subset_by_index=[count - wanted, count - 1], overwrite_a=True, check_finite=False
    )
    values, columns = values[::-1], columns[:, ::-1] * scale[:, None]
    columns /= np.linalg.norm(columns, axis=0)
    groups = max(2, _eigengap(values))
    return _kmeans(np.ascontiguousarray(columns[:, :groups]), groups)


def _by_linkage(vectors: Float64) -> Labels:
    """Groups by average linkage, [n]: finds the guest of a few words, whom the eigengap misses."""
    from scipy.cluster.hierarchy import fcluster, linkage

    first, second = np.triu_indices(len(vectors), 1)
    distances = np.maximum(0.0, 1 - (vectors @ vectors.T)[first, second])
    tree = linkage(distances, "average")
    return np.asarray(fcluster(tree, 1 - _STRANGERS, "distance"), dtype=np.int64)


def _refined_affinity(vectors: Float64) -> Float64:
    """Similarities after the paper's refinement: crop, blur, threshold, symmetrize, diffuse."""
    from scipy.ndimage import gaussian_filter

    affinity = (vectors @ vectors.T + 1) / 2
    np.fill_diagonal(affinity, 0)
    np.fill_diagonal(affinity, affinity.max(axis=1))
    affinity = gaussian_filter(affinity, sigma=1)
    affinity[affinity < 0.95 * affinity.max(axis=1, keepdims=True)] *= 0.01
    affinity = np.maximum(affinity, affinity.T)
    return np.asarray(affinity @ affinity, dtype=np.float64)


def _eigengap(values: Float64) -> int:
    """After how many of the descending eigenvalues the largest ratio to the next one stands."""
    best, groups = 0.0, 1
    for index in range(1, len(values)):
        if values[index - 1] < 0.01:
            break
        ratio = float(values[index - 1] / (abs(values[index]) + 1e-10))
        if ratio > best:
            best, groups = ratio, index
    return groups


def _kmeans(points: Float64, groups: int) -> Labels:
    """k-means by angle, [n]; not every label need occur."""
    points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    chosen = [int(np.argmax(points @ points.mean(axis=0)))]
    nearness = points @ points[chosen[0]]
    while len(chosen) < groups:
        chosen.append(int(np.argmin(nearness)))
        nearness = np.maximum(nearness, points @ points[chosen[-1]])
    centres = points[chosen]
    labels = np.full(len(points), -1)
    for _ in range(_ROUNDS):
        nearest = np.argmax(points @ centres.T, axis=1)
        if np.array_equal(nearest, labels):
            break
        labels = nearest
        for label in np.unique(labels):
            mean = points[labels == label].mean(axis=0)
            centres[label] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return labels


def _nearest(vectors: Float64, labels: Labels, kept: Labels) -> Labels:
    """For each window the label of `kept` whose mean direction is nearest."""
    centres = np.stack([vectors[labels == label].mean(axis=0) for label in kept])
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    return np.asarray(kept[np.argmax(vectors @ centres.T, axis=1)], dtype=np.int64)


def _without_tiny(vectors: Float64, labels: Labels, fewest: int) -> Labels:
    """Labels 0..k-1: windows of groups smaller than `fewest` go to the nearest larger group."""
    names, sizes = np.unique(labels, return_counts=True)
    kept = names[sizes >= fewest]
    if len(kept) == 0:
        kept = names[[int(np.argmax(sizes))]]
    if len(kept) < len(names):
        labels = np.where(np.isin(labels, kept), labels, _nearest(vectors, labels, kept))
    return _ordered(labels)


def _ordered(labels: Labels) -> Labels:
    """The same groups, numbered from 0 by first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse], dtype=np.int64)

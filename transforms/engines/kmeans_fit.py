"""Trains the centres of k-means units: k-means++ on a sample, then mini-batches (Sculley 2010).

Plain numpy in float64, one generator and one order: the same vectors and seed give the same
centres whatever the number of threads, to the last bit a matrix product promises. A centre that
nothing chose in the last pass is moved to where the farthest vector of the sample is.
"""

import numpy as np
import numpy.typing as npt

from transforms.engines.kmeans import Float32, Float64, nearest_centres


def fit(
    vectors: Float32, count: int, seed: int = 0, batch: int = 1024, passes: int = 10
) -> Float32:
    """`count` centres [count, width] of vectors [n, width], n >= count.

    Raises `ValueError` where the vectors are too few, or fewer of them differ than centres are
    asked for.
    """
    if len(vectors) < count or count < 2:
        raise ValueError(f"{len(vectors)} vectors cannot have {count} centres (at least 2)")
    rng = np.random.Generator(np.random.PCG64(seed))
    centres = _spread(vectors, count, rng)
    weights = np.zeros(count)
    for _ in range(passes):
        chosen = np.zeros(count, np.int64)
        order = rng.permutation(len(vectors))
        for start in range(0, len(vectors), batch):
            rows = vectors[order[start : start + batch]].astype(np.float64)
            nearest = nearest_centres(rows, centres)
            for centre in np.unique(nearest):
                mine = rows[nearest == centre]
                weights[centre] += len(mine)
                step = len(mine) / weights[centre]
                centres[centre] += step * (mine.mean(axis=0) - centres[centre])
            chosen += np.bincount(nearest, minlength=count)
        for centre in np.flatnonzero(chosen == 0):
            centres[centre] = _farthest(vectors, centres)
    return centres.astype(np.float32)


def _spread(vectors: Float32, count: int, rng: np.random.Generator) -> Float64:
    """k-means++ seeds: each next one drawn by its squared distance to those before."""
    rows = vectors[rng.permutation(len(vectors))[: max(4096, 8 * count)]].astype(np.float64)
    centres = np.empty((count, rows.shape[1]))
    centres[0] = rows[0]
    distance = np.square(rows - centres[0]).sum(axis=1)
    for place in range(1, count):
        total = distance.sum()
        if not total > 0:
            raise ValueError(f"only {place} of the vectors differ, {count} centres are asked for")
        drawn = np.searchsorted(np.cumsum(distance), rng.random() * total, side="right")
        centres[place] = rows[min(drawn, len(rows) - 1)]
        distance = np.minimum(distance, np.square(rows - centres[place]).sum(axis=1))
    return centres


def _farthest(vectors: npt.NDArray[np.float32], centres: Float64) -> Float64:
    rows = vectors[:4096].astype(np.float64)
    distance = np.square(rows - centres[nearest_centres(rows, centres)]).sum(axis=1)
    found: Float64 = rows[int(np.argmax(distance))]
    return found

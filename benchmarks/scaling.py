"""Where the time goes as the batch grows, from the first cache to beyond the last.

Forward and backward, float32; each time is divided by what the memory needs at that size, 2.5
copies of one array.
"""

from benchmarks.batch_norm import batch, training_contestants
from benchmarks.timing import Answer, race, ratios

EXAMPLES = [(n, 64) for n in (16, 64, 256, 1024, 4096, 16384, 65536, 262144)]
FEATURES = [(256, d) for d in (4, 16, 64, 256, 1024, 4096, 16384, 65536)]


def in_examples(rounds=7, shapes=EXAMPLES):
    """64 features, more and more examples."""
    return _grow("Scaling in N, 64 features", shapes, rounds, axis=0)


def in_features(rounds=7, shapes=FEATURES):
    """256 examples, more and more features."""
    return _grow("Scaling in D, 256 examples", shapes, rounds, axis=1)


def _grow(title, shapes, rounds, axis):
    rows = {}
    for shape in shapes:
        contestants = training_contestants(*batch(shape))
        contestants.pop("first numpy")
        samples = race(contestants, rounds=rounds)
        size = 4 * shape[0] * shape[1] / 2**20
        rows[f"{shape[axis]} ({size:.3g} MB)"] = ratios(samples, "copy", scale=2.5)
    return Answer(
        title,
        "Time of forward and backward divided by the memory floor of that size, which is 1: 2.5 "
        "copies of one array (its size in brackets).",
        rows,
        lines=True,
        axis="time / memory floor",
    )

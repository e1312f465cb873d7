"""Stored results come out again: one seed of an arm, measured now, gives what its file says.

    BNLIB_AGAIN=1 python -m bnlib.experiments.arithmetic -m pytest tests/test_again.py

takes each experiment and three minutes. (As results are measured: with AVX-512 some come out
otherwise.) Notebooks do the same with what they show. In an audit it is what reaches the code that
measures, and what notices a mutant there.
"""

import os

import pytest

from bnlib import experiments

AGAIN = os.environ.get("BNLIB_AGAIN")
# Those that are quick enough for every day.
QUICK = ("input_scaling", "noise_law")
# Arms that between them take every way through the code; of the others the first arm does.
ARMS = {
    "input_scaling": ("bowl x 10", "bowl standardized"),
    "noise_law": ("layer 1, not in its batch",),
    "pile_up": ("half dead", "linear for good"),
    "zero_weights": ("batch norm, zero", "plain, tiny"),
    "one_sidedness": ("sigmoid batch norm",),
    "running_averages": ("relu, 0.01 corrected", "relu, one at a time"),
    "cheating_gradient": ("honest", "mean constant"),
    "one_step": ("relu batch norm tuned",),
    "noisy": ("relu moving noise tuned",),
    "surfaces": ("batch norm at 0.1",),
    "edge": ("batch norm at 0.1",),
    "ghost_batches": ("wrong, at 1",),
    "silenced_units": ("ghosts of 10 tuned", "dropout tuned"),
    "regularizers": ("batch norm + noise clean tuned", "plain + early stopping clean tuned"),
    "black_cats": ("BN re-estimated grey light", "LN grey light"),
    "strange_inputs": ("BN half flatten",),
    "dial": ("grey",),
    "cures": ("ReLU 5", "residual 5"),
    "whitened_networks": ("whitened, whole set 25 tuned", "groups of 10 25 tuned"),
}
# Half a minute and more even for one arm; `python -m bnlib.experiments confirm` is for them.
SLOW = ("smooth_and_fast", "longer_in_batches", "effective_rate")
NAMES = [
    name
    for name, experiment in experiments.ALL.items()
    if experiment.data[0] == "digits" and name not in SLOW and (AGAIN or name in QUICK)
]


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_number_comes_out_again(name):
    arms = ARMS.get(name, experiments.ALL[name].arms[:1])
    measured = experiments.live(name, seeds=1, arms=list(arms))
    assert {arm for arm, _ in measured.per_seed} == set(arms)

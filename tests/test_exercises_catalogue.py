"""The whole catalogue at a glance: all answers of all `test_exercises_*`, asked with another seed.

The counts are those of `pytest --collect-only -q tests/test_exercises_catalogue.py -k NAME`, with
the NAME single, pair, right or outside.
"""

import collections
import json
from pathlib import Path

import pytest
import test_exercises
import test_exercises_drift
import test_exercises_evidence
import test_exercises_folding
import test_exercises_gradient_checks
import test_exercises_groups
import test_exercises_merging
import test_exercises_noise
import test_exercises_relatives
import test_exercises_roughness
import test_exercises_running
import test_exercises_shifted
import test_exercises_terms
import test_exercises_whitening

from bnlib import exercises
from bnlib.exercises import backward, forward, graph_nodes, seeds

SEED = 2026  # a student's
# Written by golden_answers.py.
WORDS = Path(__file__).with_name("golden_answers.json")
# Files about a single checker, and the list whose answers go to another one.
ALONE = {
    test_exercises_drift: exercises.check_drift,
    test_exercises_folding: exercises.check_fold,
    test_exercises_gradient_checks: exercises.check_gradient_check,
    test_exercises_groups: exercises.check_group_norm,
    test_exercises_merging: exercises.check_merge,
    test_exercises_noise: exercises.check_noise,
    test_exercises_relatives: exercises.check_layer_norm_backward,
    test_exercises_roughness: exercises.check_roughness,
    test_exercises_running: exercises.check_running_average,
    test_exercises_whitening: exercises.check_whitening,
}
SEVERAL = (
    test_exercises,
    test_exercises_evidence,
    test_exercises_shifted,
    test_exercises_terms,
)


def listed(kind):
    """Every answer of one kind as (check, function, names, options)."""
    for module, check in ALONE.items():
        for item in getattr(module, kind, ()):
            yield taken_apart((check, *values_of(item)))
    for item in getattr(test_exercises_running, f"{kind}_EVALUATIONS", ()):
        yield taken_apart((exercises.check_evaluation, *values_of(item)))
    for module in SEVERAL:
        table = getattr(module, kind, ())
        if isinstance(table, dict):
            table = [(check, *values_of(item)) for check in table for item in table[check]]
        for item in table:
            yield taken_apart(values_of(item))


def values_of(item):
    """The values of a `pytest.param`, of a tuple, or of a function alone."""
    values = getattr(item, "values", item)
    return tuple(values) if isinstance(values, tuple | list) else (item,)


def taken_apart(values):
    check, f, *rest = values
    names = next((r for r in rest if isinstance(r, set)), set())
    names = names or set(next((r for r in rest if isinstance(r, str)), "").split())
    options = next((r for r in rest if isinstance(r, dict)), {})
    return check, f, names, options


def called(check, options):
    """A checker with its options, as part of a test's name."""
    return "-".join(
        [check.__name__, *(str(v) if isinstance(v, str) else k for k, v in options.items())]
    )


def key(check, names, options):
    """The name of an answer; some have it together."""
    return "-".join([called(check, options), *sorted(names)])


def params(cases):
    return [
        pytest.param(check, f, names, options, id=key(check, names, options))
        for check, f, names, options in cases
    ]


def singles():
    """One planted function for each single mistake of each checker."""
    found = {}
    for case in listed("PLANTED"):
        check, _, names, options = case
        if len(names) == 1:
            found.setdefault((called(check, options), *names), case)
    return found


PLANTED = list(listed("PLANTED"))
PAIRS = [case for case in PLANTED if len(case[2]) == 2]
RIGHT, OTHER = list(listed("RIGHT")), list(listed("OTHER"))


def asked(check, f, options):
    return check(f, seed=SEED, **options)


@pytest.fixture(scope="module")
def words():
    """The texts of all answers, as they were read and stored."""
    return json.loads(WORDS.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("check", "f", "names", "options"), params(singles().values()))
def test_single_mistake(check, f, names, options, words):
    answer = asked(check, f, options)
    assert answer.right is False and set(answer.mistakes) == names, answer.text
    assert answer.text in words[key(check, names, options)]


@pytest.mark.parametrize(("check", "f", "names", "options"), params(PAIRS))
def test_pair_of_mistakes(check, f, names, options, words):
    answer = asked(check, f, options)
    assert answer.right is False and set(answer.mistakes) == names, answer.text
    assert answer.text in words[key(check, names, options)]


@pytest.mark.parametrize(("check", "f", "names", "options"), params(RIGHT))
def test_right_answer(check, f, names, options, words):
    answer = asked(check, f, options)
    assert answer.right is True and answer.mistakes == (), answer.text
    assert answer.text in words[key(check, names, options)]


@pytest.mark.parametrize(("check", "f", "names", "options"), params(OTHER))
def test_outside_mistake(check, f, names, options, words):
    answer = asked(check, f, options)
    assert answer.right is False and answer.mistakes == (), answer.text
    assert answer.text in words[key(check, names, options)]


def catalogues():
    for images in (False, True):
        yield "check_forward", forward.exercise(images).mistakes
        yield "check_backward", backward.exercise(images).mistakes
    for node, operation in graph_nodes.OPERATIONS.items():
        yield f"check_graph_node-{node}", operation.mistakes


@pytest.mark.parametrize(("checker", "mistakes"), list(catalogues()))
def test_every_mistake_is_planted(checker, mistakes):
    """Here for those checkers whose plants are spread over two files; the others see to it."""
    planted = set()
    for check, _, names, options in PLANTED:
        node = options.get("node", "mean")
        own = check.__name__ + (f"-{node}" if check is exercises.check_graph_node else "")
        planted |= names if own == checker else set()
    assert {mistake.name for mistake in mistakes} <= planted


def test_there_are_enough_of_each():
    assert len(singles()) >= 250 and len(PAIRS) >= 40
    assert len(RIGHT) >= 80 and len(OTHER) >= 60


def test_every_checker_is_here_and_takes_a_seed():
    checkers = {name for name in exercises.__all__ if name.startswith("check_")}
    for cases in (PLANTED, RIGHT, OTHER):
        names = collections.Counter(check.__name__ for check, *_ in cases)
        assert names.keys() <= checkers
        assert checkers - names.keys() <= (
            {"check_evaluation", "check_mixed_statistics", "check_energy"}
            if cases is OTHER
            else set()
        )


def test_a_seed_changes_sizes_and_numbers():
    assert seeds.extra_examples(0) == 0
    assert {seeds.extra_examples(seed) for seed in range(1, 30)} == {1, 2, 3}
    images = [((2, 2, 1, 2), 0.5), ((3, 3, 3, 3), 0.1)]
    assert seeds.enlarged(images, 2) == [((4, 2, 1, 2), 0.5), ((3, 3, 3, 3), 0.1)]
    assert seeds.enlarged([5, 8], 1) == [5, 9]
    assert seeds.other_numbers([(3, 0.5)], 1) != [(3, 0.5)]

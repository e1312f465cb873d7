"""Learning rates chosen on development seeds; `python -m bnlib.experiments.tuning` chose them."""

LEARNING_RATES: dict[str, float] = {}

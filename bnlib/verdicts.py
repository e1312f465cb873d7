"""Verdicts: holds, holds when …, does not hold here, not resolved here; none is written by hand.

A *shown* claim is judged by named checks that its chapter computes. The line that `shown` prints is
what the ledger page reads.
"""


def shown(claim, checks, when=None):
    """Judge a claim by exact checks and print the verdict.

    Parameters
    ----------
    claim : str
        Its id, "C01" to "C46".
    checks : dict of str to bool
        The claim as it is worded, check by check. All true: it holds.
    when : dict of str to dict of str to bool, optional
        Conditions that were listed beforehand, each with its own checks. If the wording fails, the
        claim holds under those conditions whose checks are all true.

    Returns
    -------
    str
        The verdict.

    Examples
    --------
    >>> verdict = shown("C13", {"for this batch": True, "for the next": False},
    ...                 when={"the batch stays the same": {"y = x": True}})
    yes  for this batch
    no   for the next
    yes  y = x  (when the batch stays the same)
    verdict C13: holds when the batch stays the same
    """
    when = when or {}
    if not checks or not all(when.values()):
        raise ValueError(f"shown: {claim} needs at least one check, and one per condition")
    lines = [f"{_answer(value)} {name}" for name, value in checks.items()]
    for condition, own_checks in when.items():
        lines += [f"{_answer(v)} {name}  (when {condition})" for name, v in own_checks.items()]
    met = [condition for condition, own_checks in when.items() if all(own_checks.values())]
    if all(checks.values()):
        verdict = "holds"
    elif met:
        verdict = "holds when " + ", and when ".join(met)
    else:
        verdict = "does not hold here"
    print("\n".join([*lines, f"verdict {claim}: {verdict}"]))
    return verdict


def _answer(value):
    return "yes " if value else "no  "

"""Is the doctor right about networks that nobody looked at when its thresholds were set?

    python tests/held_out.py 101 102 103 104 105 106

All patients of test_doctor.py, healthy and sick, trained from each of these seeds. Prints every
diagnosis that is not exactly what was planted, and the count of those that are; the workshop on
frameworks tells that of these six seeds.
"""

import sys

from test_doctor import HEALTHY, SICK, diagnose, patient

PATIENTS = {**{name: (settings, [], set()) for name, settings in HEALTHY.items()}, **SICK}


def main(seeds):
    """Examine every patient from every seed."""
    right = 0
    for seed in seeds:
        for name, (settings, changes, planted) in PATIENTS.items():
            network, data = patient({**settings, "seed": seed}, changes)
            found = diagnose(network, data, settings.get("size", 50))
            exactly = set(found.causes) == planted
            right += exactly
            if not exactly:
                print(f"{name}, seed {seed}: planted {sorted(planted)}")
                print(found, flush=True)
    print(f"{right} of {len(seeds) * len(PATIENTS)} are exactly what was planted")


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]])

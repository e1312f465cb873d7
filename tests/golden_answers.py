"""What the checkers of the exercises answer to every function of the catalogue, word for word.

    python tests/golden_answers.py     # writes golden_answers.json, after words or cases changed

Read the difference before you commit it: learners will meet these words.
"""

import json
from collections import defaultdict
from pathlib import Path

import test_exercises_catalogue as catalogue

STORED = Path(__file__).with_suffix(".json")


def main():
    """Write them all."""
    texts = defaultdict(list)
    cases = [catalogue.singles().values(), catalogue.PAIRS, catalogue.RIGHT, catalogue.OTHER]
    for check, f, names, options in (case for kind in cases for case in kind):
        answer = catalogue.asked(check, f, options)
        texts[catalogue.key(check, names, options)].append(answer.text)
    text = json.dumps(texts, indent=1, sort_keys=True, ensure_ascii=False)
    STORED.write_text(text + "\n", encoding="utf-8")
    print(f"{sum(map(len, texts.values()))} answers")


if __name__ == "__main__":
    main()

"""Answers as tables, pictures and a file."""

import importlib.metadata
import json
import os
import platform
from pathlib import Path

from benchmarks import peers
from benchmarks.timing import Ratio

COLOURS = {
    "bnlib": "#0072B2",
    "bnlib compiled": "#009E73",
    "PyTorch": "#D55E00",
    "JAX jit": "#CC79A7",
    "memory floor": "#777777",
}
OTHERS = ["#56B4E9", "#E69F00", "#999933", "#882255", "#332288"]


def table(answer):
    """An answer in Markdown: cases down, contestants across."""
    columns = list(dict.fromkeys(name for row in answer.rows.values() for name in row))
    lines = [f"## {answer.title}", "", answer.note, ""]
    lines += [_line(["", *columns]), _line(["---"] + ["---:"] * len(columns))]
    for case, row in answer.rows.items():
        lines.append(_line([case, *(_cell(row.get(name)) for name in columns)]))
    return "\n".join(lines) + "\n"


def picture(answer, path):
    """An answer as a figure: ratios by case, with the quartiles as bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(name for row in answer.rows.values() for name in row))
    spare = iter(OTHERS * len(names))
    for position, name in enumerate(names):
        cases = [case for case in answer.rows if name in answer.rows[case]]
        values = [_ratio(answer.rows[case][name]) for case in cases]
        places = [list(answer.rows).index(case) for case in cases]
        shift = 0 if answer.lines else (position - (len(names) - 1) / 2) * 0.8 / len(names)
        bars = [[v.median - v.low for v in values], [v.high - v.median for v in values]]
        axes.errorbar(
            [place + shift for place in places],
            [value.median for value in values],
            yerr=bars,
            fmt="o-" if answer.lines else "o",
            color=COLOURS.get(name) or next(spare),
            label=name,
            markersize=4,
        )
    axes.axhline(1, color="#777777", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xticks(range(len(answer.rows)), list(answer.rows), rotation=20, ha="right", fontsize=8)
    axes.set_ylabel(answer.axis)
    axes.set_title(answer.title, fontsize=10)
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    figure.savefig(path, dpi=120)


def machine():
    """Versions and the kind of machine; nothing that names it."""
    packages = ["numpy", "torch", "jax", "numba"]
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages if peers.installed(name)},
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads used": 1,
        "load before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def write(answers, about, folder):
    """`results.json` with every number, `results.md` with the tables."""
    found = {
        "machine": about,
        "answers": {name: answer._asdict() for name, answer in answers.items()},
    }
    text = json.dumps(found, indent=1)
    (Path(folder) / "results.json").write_text(text + "\n", encoding="utf-8")
    tables = "\n".join(table(answer) for answer in answers.values())
    facts = ", ".join(f"{name} {value}" for name, value in about.items())
    text = (
        "# Results of `make bench`\n\nWritten by `make bench`, never by hand. A ratio is a median "
        f"over rounds, its quartiles in brackets.\n\n{facts}\n\n{tables}"
    )
    (Path(folder) / "results.md").write_text(text, encoding="utf-8")


def _line(cells):
    return "| " + " | ".join(cells) + " |"


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, Ratio):
        return f"{value.median:.2f} ({value.low:.2f} to {value.high:.2f})"
    return f"{value:.2g}"


def _ratio(value):
    return value if isinstance(value, Ratio) else Ratio(value, value, value)


def _processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()

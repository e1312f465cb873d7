"""Measured effects, told and drawn: the forest plots of the ledger.

A row has a contrast's estimate, its interval and what its rule asks. Units differ (accuracy, steps,
angles), so the axis that all rows share counts multiples of the smallest effect that the rule of
the row accepts, turned so that the claim's direction is to the right.
"""

import math
from html import escape

WIDTH, HEIGHT, MARGIN = 260, 18, 14
FARTHEST = 100  # multiples; what lies beyond is drawn as an arrow
TICKS = (-100, -10, -1, 0, 1, 10, 100)
COUNTS = ("most", "few")
DOWNWARDS = ("less", "not more")

AXIS = """\
<div class="bn-axis"><svg width="0" height="0" aria-hidden="true">\
<symbol id="bn-axis" viewBox="0 0 {width} 18"><g class="bn-ticks">{ticks}</g></symbol>\
</svg></div>"""
ROW = """\
<li><span>{name}<small><b>{answer}</b>: {told}, asked {asked}</small></span>\
<svg viewBox="0 0 {width} {height}" aria-hidden="true">{shapes}</svg></li>"""


# --- in words ----------------------------------------------------------------------------------


def told(finding):
    """Return a contrast's estimate and interval, in three digits."""
    contrast, interval = finding.contrast, finding.interval
    if contrast.wanted in COUNTS:
        estimate = f"{round(interval.estimate * finding.seeds)} of {finding.seeds} seeds"
    else:
        estimate = ("x" if contrast.scale == "log" else "") + digits(interval.estimate, interval)
    return f"{estimate} [{digits(interval.low, interval)}, {digits(interval.high, interval)}]"


def digits(value, interval):
    """Return a number in three digits, which every processor prints alike."""
    if abs(value) <= 1e-9 * max(abs(interval.low), abs(interval.high)):
        return "0"  # rounding noise
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:#.3g}"


def asked(contrast):
    """Return what a rule asks of a contrast: "≥ 0.01", "≤ x0.8", "within ±0.01"."""
    smallest, ratio = contrast.smallest, contrast.scale == "log"
    if contrast.wanted in COUNTS:
        sign = ">" if contrast.wanted == "most" else "<"
        return f"{sign} {smallest:g} of the seeds"
    if contrast.wanted == "same":
        return f"within x{smallest:g}" if ratio else f"within ±{smallest:g}"
    downwards = contrast.wanted in ("less", "not less")
    bound = (1 / smallest if ratio else -smallest) if downwards else smallest
    sign = {"more": "≥", "less": "≤", "not less": ">", "not more": "<"}[contrast.wanted]
    if no_unit(contrast):
        sign = {"≥": ">", "≤": "<"}[sign]
    return f"{sign} {'x' * ratio}{bound + 0.0:.4g}"


# --- on the common axis ------------------------------------------------------------------------


def no_unit(contrast):
    """Tell whether a rule asks for a direction only, so that no effect is too small for it."""
    return contrast.smallest == (1 if contrast.scale == "log" else 0)


def multiples(finding):
    """Return estimate, low and high in multiples of what the rule asks, the claim's way upwards.

    Of a count of seeds it is the share of seeds that do as the claim says, of the share asked.
    Where the rule asks for a direction only, the unit is half the interval.
    """
    contrast, interval = finding.contrast, finding.interval
    # As printed: the same drawing everywhere.
    ends = [float(digits(value, interval)) for value in interval]
    unit = contrast.smallest
    if contrast.wanted == "few":
        ends, unit = [1 - ends[0], 1 - ends[2], 1 - ends[1]], 1 - unit
    elif contrast.scale == "log":
        ends = [math.log(min(max(end, 1e-300), 1e300)) for end in ends]
        unit = math.log(unit)
    if contrast.wanted in DOWNWARDS:
        ends = [-ends[0], -ends[2], -ends[1]]
    if unit == 0:
        unit = (ends[2] - ends[1]) / 2 or 1.0
    return [end / unit for end in ends]


def zone(contrast):
    """Return where on that axis the estimate must lie for a yes."""
    if contrast.wanted == "same":
        return -1, 1
    if contrast.wanted in ("not less", "not more"):
        return -1, math.inf
    return (0 if no_unit(contrast) else 1), math.inf


def place(multiple):
    """Return where a multiple lies on the drawing: even from -1 to 1, by powers of ten beyond."""
    size = abs(multiple)
    scaled = size if size <= 1 else 1 + math.log10(min(size, FARTHEST))
    reach = 1 + math.log10(FARTHEST)
    half = WIDTH / 2 - MARGIN
    return round(WIDTH / 2 + math.copysign(scaled, multiple) / reach * half, 1)


# --- drawn -------------------------------------------------------------------------------------


def axis():
    """Return the ticks of the common axis, which every list of rows refers to."""
    ticks = "".join(
        f'<path d="M{place(tick):g} 14v4"/><text x="{place(tick):g}" y="11">'
        f"{str(tick).replace('-', '−')}</text>"
        for tick in TICKS
    )
    return AXIS.format(width=WIDTH, ticks=ticks)


def shapes(finding):
    """Return the shapes of a row: the zone of yes, no effect, the interval, the estimate."""
    low_yes, high_yes = zone(finding.contrast)
    left, right = place(low_yes), WIDTH if math.isinf(high_yes) else place(high_yes)
    estimate, low, high = multiples(finding)
    x, y = place(estimate), HEIGHT / 2
    return "".join(
        [
            f'<rect x="{left:g}" width="{right - left:g}" height="{HEIGHT}"/>',
            f'<path class="bn-zero" d="M{place(0):g} 0v{HEIGHT}"/>',
            f'<path d="M{place(low):g} {y:g}H{place(high):g}"/>',
            mark(finding.answer, x, y, beyond=abs(estimate) > FARTHEST),
        ]
    )


def mark(answer, x, y, *, beyond=False):
    """Return the mark of an estimate: a disc for yes, a ring for no, a square for open."""
    if beyond:
        tip = 8 if x > WIDTH / 2 else -8
        return f'<path class="bn-{answer}" d="M{x:g} {y - 5:g}l{tip} 5l{-tip} 5z"/>'
    if answer == "open":
        return f'<rect class="bn-open" x="{x - 4:g}" y="{y - 4:g}" width="8" height="8"/>'
    return f'<circle class="bn-{answer}" cx="{x:g}" cy="{y:g}" r="4.5"/>'


def strip(findings):
    """Return one small drawing with the marks of all contrasts."""
    marks = []
    for finding in findings:
        estimate = multiples(finding)[0]
        marks.append(mark(finding.answer, place(estimate), 9, beyond=abs(estimate) > FARTHEST))
    shapes = f'<path class="bn-zero" d="M{place(0):g} 0v{HEIGHT}"/>' + "".join(marks)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{shapes}</svg>'


def row(finding):
    """Return one contrast in words, and drawn."""
    return ROW.format(
        name=escape(finding.contrast.name),
        answer=finding.answer,
        told=escape(told(finding)),
        asked=escape(asked(finding.contrast)),
        width=WIDTH,
        height=HEIGHT,
        shapes=shapes(finding),
    )


def rows(findings):
    """Return the list of contrasts under the axis."""
    head = f'<li aria-hidden="true"><svg viewBox="0 0 {WIDTH} 18"><use href="#bn-axis"/></svg></li>'
    return "\n".join(['<ul class="bn-forest">', head, *map(row, findings), "</ul>"])

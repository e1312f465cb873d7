"""`pytest -p portable` asks of a notebook its judgements, and nothing that a machine may change."""

import nbformat
import portable
import pytest
from ledger import output_text
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbval.plugin import IPyNbFile


def printed(text):
    return new_output("stream", name="stdout", text=text)


def result(text):
    return new_output("execute_result", {"text/plain": text, "image/png": "iVBORw0KGgo="})


STORED = [
    printed("0.971\nverdict C02: holds\n"),
    result("Right: y agrees."),
    printed("small: True"),
]


def judged(*outputs):
    return portable.judgements(list(outputs))


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        (0, "verdict C02: holds", "verdict C02: does not hold here"),
        (0, "verdict C02: holds", "verdict C02 (speed): holds"),
        (0, "verdict C02: holds\n", ""),
        (1, "Right: y", "Not right yet.\ny"),
        (2, "True", "False"),
    ],
)
def test_another_judgement_is_noticed(place, old, new):
    outputs = [printed(output_text({"outputs": [output]})) for output in STORED]
    assert judged(*outputs) == judged(*STORED)
    assert old in outputs[place].text
    outputs[place].text = outputs[place].text.replace(old, new)
    assert judged(*outputs) != judged(*STORED)


def test_what_a_machine_may_change_is_not():
    outputs = [printed("0.972\n"), *STORED[1:], new_output("stream", name="stderr", text="slow")]
    outputs[0].text += "verdict C02: holds\n"
    assert judged(*outputs) == judged(*STORED)
    assert judged(printed("0.972")) == judged(result("0.971")) == judged()


def test_the_plugin_judges_the_cells_of_a_notebook(request, tmp_path):
    cell = new_code_cell("x", execution_count=1, outputs=[printed("0.971\nverdict C02: holds\n")])
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "made_up.ipynb")
    notebook = IPyNbFile.from_parent(request.session, path=tmp_path / "made_up.ipynb")
    (plain,), (item,) = notebook.collect(), notebook.collect()
    portable.pytest_itemcollected(item)
    digit = [printed("0.972\nverdict C02: holds\n")]
    verdict = [printed("0.971\nverdict C02: does not hold here\n")]
    assert item.compare_outputs(digit, cell.outputs)
    assert not plain.compare_outputs(digit, cell.outputs)
    assert not item.compare_outputs(verdict, cell.outputs)
    assert not item.compare_outputs([], cell.outputs)

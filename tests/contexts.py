"""A plugin for runs under coverage (`-p contexts`): it tells which test is running, fixtures too.

What is reached while modules are imported and tests collected belongs to no test.
"""

import coverage
import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Give what is reached from here on the name of the test."""
    measuring = coverage.Coverage.current()
    if measuring:
        measuring.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        if measuring:
            measuring.switch_context("")

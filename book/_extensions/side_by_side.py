"""Execute notebooks several at a time, before MyST-NB would execute them one after the other.

What has run is in MyST-NB's cache when it asks. A notebook that fails is left out: MyST-NB executes
it again and shows the cell. The cache writes its files in place, and MyST-NB stops at a torn one,
for ever: what a killed build has left there is dropped first.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
from book_pages import drop
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from sphinx.util import logging

MOST = 4  # more kernels need more memory than a small machine has

logger = logging.getLogger(__name__)


def opened(folder):
    """Return the cache in a folder, an empty one if it cannot be read."""
    cache = get_cache(folder)
    try:
        cache.get_cache_limit(), cache.list_cache_records(), cache.list_project_records()
    except Exception:  # a database without its tables, or torn: SQLite has many words for it
        drop(cache.path)
        return get_cache(folder)
    return cache


def waiting(cache, paths):
    """Return path and content of the notebooks that the cache has no whole answer to."""
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        try:
            cache.merge_match_into_notebook(notebook)
        except (KeyError, IndexError, ValueError):  # none; or a torn one
            _, key = cache.create_hashed_notebook(notebook)
            shutil.rmtree(cache.path / "executed" / key, ignore_errors=True)
            yield path, notebook


def execute_side_by_side(app, env, docnames):
    """Execute the notebooks among the pages that are about to be read, and cache the results."""
    paths = [Path(env.doc2path(name)) for name in docnames]
    cache = opened(app.config.nb_execution_cache_path)
    todo = list(waiting(cache, [path for path in paths if path.suffix == ".ipynb"]))
    processors = os.cpu_count() or 1
    kernels = min(processors, MOST)
    # Kernels whose products of matrices wait for each other's processors are several times as slow.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(processors // kernels))
    with ThreadPoolExecutor(kernels) as pool:
        running = {
            pool.submit(
                single_nb_execution,
                notebook,
                cwd=str(path.parent),
                timeout=app.config.nb_execution_timeout,
                allow_errors=False,
            ): path
            for path, notebook in todo
        }
        for done in as_completed(running):
            result, path = done.result(), running[done]
            if result.err is None:
                logger.info("%s: Executed notebook in %.2f seconds", path.name, result.time)
                executed = CacheBundleIn(
                    result.nb, str(path), data={"execution_seconds": result.time}
                )
                cache.cache_notebook_bundle(executed, check_validity=False, overwrite=True)


def setup(app):
    """Connect the above to Sphinx, after the order of the pages is settled."""
    app.connect("env-before-read-docs", execute_side_by_side, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

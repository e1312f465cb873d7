"""The code that a result depends on, as one hash.

Followed from the measuring function: of the files of experiments only the definitions that it uses,
directly or through others, so that a rule or another experiment in the same file may change; of the
rest of bnlib whole modules. Syntax trees are hashed without docstrings: words, comments and layout
may change.
"""

import ast
import hashlib
import importlib.util
import inspect
import symtable
from functools import cache
from pathlib import Path

PACKAGE = "bnlib"
BY_NAME = "bnlib.experiments"  # below it, definitions count one by one


def source_hash(measure):
    """Hash all code that a measuring function depends on.

    Parameters
    ----------
    measure : function
        Of a module that has a file.

    Returns
    -------
    str
        16 hexadecimal digits; the same for every supported Python.

    Raises
    ------
    ValueError
        If no definition of that name stands at the top of its file.

    Examples
    --------
    >>> len(source_hash(source_hash))
    16
    """
    return definition_hash(measure.__module__, inspect.getsourcefile(measure), measure.__qualname__)


def definition_hash(module, path, name):
    """Hash a definition at the top of a file and all that it depends on.

    Parameters
    ----------
    module : str
        What relative imports in the file start from.
    path : str or Path
    name : str

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the file has no such definition.
    """
    found: dict[str, str] = {}
    _follow_name(module, path, name, found)
    if not any(found.values()):
        raise ValueError(f"source_hash: needs a definition at the top of {module}, got {name}")
    lines = (f"{place} {text}\n" for place, text in sorted(found.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def _follow_name(module, path, name, found):
    """Add the definitions of a name in a file, and all that they use, to `found`."""
    if (place := f"{module}:{name}") in found:
        return
    found[place] = ""
    for statement in _statements(_read(path)).get(name, ()):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _follow_import(statement, module, path, found, {name: None})
            continue
        found[place] += _text(statement)
        used = _names_used(statement)
        for other in used:
            if other != name:
                _follow_use(other, used[other], module, path, found)
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):  # inside a function
                _follow_import(node, module, path, found, {})


def _follow_use(name, attributes, module, path, found):
    """Follow a name that stands for a module of experiments by the attributes used of it."""
    for statement in _statements(_read(path)).get(name, ()):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _follow_import(statement, module, path, found, {name: attributes})
        else:
            _follow_name(module, path, name, found)


def _follow_import(statement, module, path, found, wanted):
    """Follow those names of an import that are `wanted`, all if none is.

    `wanted` maps a name to the attributes used of it, None standing for all.
    """
    for alias in statement.names:
        bound = alias.asname or alias.name.split(".")[0]
        if wanted and bound not in wanted:
            continue
        for other, name in _targets(statement, alias, module, path):
            if not _belongs(other, BY_NAME):
                _follow_module(other, found)
            elif name:
                _follow_name(other, _file_of(other), name, found)
            else:
                names = None if "." in alias.name else wanted.get(bound)
                for each in _statements(_read(_file_of(other))) if names is None else names:
                    _follow_name(other, _file_of(other), each, found)


def _follow_module(module, found):
    """Add a whole module of bnlib and those that it imports to `found`."""
    if module in found:
        return
    path = _file_of(module)
    source = _read(path)
    found[module] = _text(_tree(source))
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                for other, _ in _targets(node, alias, module, path):
                    _follow_module(other, found)


def _targets(statement, alias, module, path):
    """Yield (module, name or None) for what one alias of an import takes from bnlib."""
    if isinstance(statement, ast.Import):
        target, name = alias.name, None
    else:
        target, name = statement.module or "", alias.name
        if statement.level:
            levels = module.split(".") + ["__init__"] * (Path(path).name == "__init__.py")
            target = ".".join([*levels[: -statement.level], *filter(None, [target])])
        if _belongs(target, PACKAGE) and _file_of(f"{target}.{name}"):
            target, name = f"{target}.{name}", None
    if _belongs(target, PACKAGE):
        yield target, name


def _belongs(module, package):
    return module == package or module.startswith(package + ".")


@cache
def _file_of(module):
    """The file of a module; None if there is no such module."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # its parent is no package
        return None
    return found and found.origin


def _read(path):
    return Path(path).read_text(encoding="utf-8")


@cache
def _tree(source):
    return ast.parse(source)


@cache
def _statements(source):
    """Map each name at a module's top to the statements that define or change it."""
    by_name: dict[str, list[ast.stmt]] = {}
    for statement in _tree(source).body:
        for name in _bound(statement):
            by_name.setdefault(name, []).append(statement)
    return by_name


def _bound(statement):
    """Return the names that a statement at the top of a module binds or changes."""
    names: set[str] = set()
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Expr):  # `TABLE.update(...)` changes what it mentions
            names |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            for target in getattr(node, "targets", [getattr(node, "target", None)]):
                names |= {name.id for name in ast.walk(target) if isinstance(name, ast.Name)}
        else:
            waiting += ast.iter_child_nodes(node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return names


@cache
def _names_used(statement):
    """Map the global names that a statement uses to the attributes used of each; None: itself."""
    tables = [symtable.symtable(ast.unparse(statement), "", "exec")]
    names = set()
    for table in tables:
        tables += table.get_children()
        names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    used: dict[str, set[str] | None] = {name: set() for name in sorted(names)}
    owners = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owners.add(node.value)
            attributes = used.get(node.value.id)
            if attributes is not None:
                attributes.add(node.attr)
        elif isinstance(node, ast.Name) and node not in owners and node.id in used:
            used[node.id] = None
    return used


@cache
def _text(node):
    return canonical(node)


def canonical(node):
    """Write a syntax tree as text: no docstrings, no positions, the same in every Python.

    `ast.dump` differs between Pythons: fields that are empty or new are left out here.

    Parameters
    ----------
    node : ast.AST, list, or a value inside a tree

    Returns
    -------
    str

    Examples
    --------
    >>> canonical(ast.parse("x = 1  # one"))
    "Module(body=[Assign(targets=[Name(id='x')],value=Constant(value=1))])"
    """
    if isinstance(node, list):
        return "[" + ",".join(map(canonical, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            value = value[ast.get_docstring(node, clean=False) is not None :]
        if value is not None and value != [] and name not in ("ctx", "kind", "type_comment"):
            fields.append(f"{name}={canonical(value)}")
    return f"{type(node).__name__}({','.join(fields)})"

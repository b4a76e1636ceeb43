"""The house rules that one Python file can break. Each takes source text and returns findings."""

import ast
import re
import sys
from collections.abc import Iterator

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70

Function = ast.FunctionDef | ast.AsyncFunctionDef

BROAD_EXCEPTIONS = frozenset({"Exception", "BaseException"})
SHELL_CALLS = frozenset({"create_subprocess_shell", "getoutput", "getstatusoutput"})

# Role files get no way to reach the machine: the three modules of the design, and those of the
# standard library that hand out the same power under another name.
ROLE_FORBIDDEN = frozenset(
    {"os", "subprocess", "socket", "_socket", "_posixsubprocess", "posix", "pty", "ctypes"}
    | {"importlib", "multiprocessing", "runpy", "shutil", "socketserver", "ssl"}
    | {"http", "urllib", "ftplib", "smtplib", "builtins"}
)
ROLE_FACE = "juggernaut.role"

SQL_START = re.compile(
    r"""\s*(?:
        SELECT\s+\S
      | select\s[^;]*?\sfrom\s+\w
      | (?i:INSERT\s+INTO\s+\w)
      | (?i:UPDATE\s+(?:ONLY\s+)?[\w.]+\s+SET\s)
      | (?i:DELETE\s+FROM\s+\w)
      | (?i:WITH\s+(?:RECURSIVE\s+)?\w+(?:\s*\([^)]*\))?\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s*)?\()
    )""",
    re.VERBOSE | re.DOTALL,
)


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield each function and method of a module, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def long_file(source: str) -> list[str]:
    """Find a file that has more lines than the house allows."""
    lines = len(source.splitlines())
    return [f"{lines} lines (at most {MAX_FILE_LINES})"] if lines > MAX_FILE_LINES else []


def long_functions(source: str) -> list[str]:
    """Find functions that do not fit on a screen."""
    found = []
    for function in functions(ast.parse(source)):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            found.append(
                f"{function.lineno}: {function.name} has {lines} lines"
                f" (at most {MAX_FUNCTION_LINES})"
            )
    return found


def missing_docstrings(source: str) -> list[str]:
    """Find functions without a docstring; an overload is spoken for by its implementation."""
    return [
        f"{function.lineno}: {function.name} has no docstring"
        for function in functions(ast.parse(source))
        if not ast.get_docstring(function) and not _is_overload(function)
    ]


def missing_annotations(source: str) -> list[str]:
    """Find functions with an argument or a result that has no type."""
    tree = ast.parse(source)
    methods = {
        id(item)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_static(item)
    }
    found = []
    for function in functions(tree):
        for argument in _arguments(function, skip_first=id(function) in methods):
            if argument.annotation is None:
                found.append(f"{function.lineno}: {function.name}({argument.arg}) has no type")
        if function.returns is None:
            found.append(f"{function.lineno}: {function.name} has no result type")
    return found


def printing(source: str) -> list[str]:
    """Find output that goes round the log and the console."""
    return [
        f"{call.lineno}: print"
        for call in _calls(ast.parse(source))
        if isinstance(call.func, ast.Name) and call.func.id == "print"
    ]


def broad_excepts(source: str) -> list[str]:
    """Find handlers that catch everything and do not raise it again."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler) or _raises_again(node):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        for kind in caught:
            name = _last_name(kind) if kind else "everything"
            if kind is None or name in BROAD_EXCEPTIONS:
                found.append(f"{node.lineno}: except {name}")
    return found


def hidden_execution(source: str) -> list[str]:
    """Find text that would be run as code or handed to a shell."""
    found = []
    for call in _calls(ast.parse(source)):
        name = _last_name(call.func)
        bare = isinstance(call.func, ast.Name)
        if bare and name in {"eval", "exec", "__import__"}:
            found.append(f"{call.lineno}: {name}()")
        if _dotted(call.func) in {"os.system", "os.popen"} or name in SHELL_CALLS:
            found.append(f"{call.lineno}: {_dotted(call.func)}()")
        for keyword in call.keywords:
            off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
            if keyword.arg == "shell" and not off:
                found.append(f"{call.lineno}: shell=")
    return found


def sql_strings(source: str) -> list[str]:
    """Find SQL statements written in Python, docstrings apart."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    found = []
    for node in ast.walk(tree):
        # A parent is walked before its children, so what it speaks for is skipped in time.
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in skipped:
            text = _text(node)
            if SQL_START.match(text):
                found.append(f"{node.lineno}: {' '.join(text.split())[:60]}")
    return found


def role_imports(source: str) -> list[str]:
    """Find what a role file may not import: anything but its public face and harmless stdlib."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [_imported_module(node)]
        else:
            continue
        found += [f"{node.lineno}: imports {name}" for name in names if not _role_may(name)]
    return found


def _imported_module(node: ast.ImportFrom) -> str:
    """Return the module an import names; `from juggernaut import role` is the role module."""
    if node.level == 0 and node.module == "juggernaut" and len(node.names) == 1:
        return f"juggernaut.{node.names[0].name}"
    return "." * node.level + (node.module or "")


def _role_may(name: str) -> bool:
    """Say whether a role file may import this module."""
    top = name.split(".")[0]
    harmless = top in sys.stdlib_module_names and top not in ROLE_FORBIDDEN
    return name == ROLE_FACE or (harmless and name != "asyncio.subprocess")


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    """Return a string constant, or an f-string with a word in place of each gap."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    constants = (part.value if isinstance(part, ast.Constant) else "gap" for part in parts)
    return "".join(text if isinstance(text, str) else "" for text in constants)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Say whether a handler only cleans up: it ends in a bare raise and has no other way out."""
    last = handler.body[-1]
    ways_out = (ast.Return, ast.Break, ast.Continue)
    escapes = any(isinstance(node, ways_out) for node in ast.walk(handler))
    return isinstance(last, ast.Raise) and last.exc is None and not escapes


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield each call of a module."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _dotted(node: ast.AST) -> str:
    """Return a name as written, `os.system` for instance; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def _last_name(node: ast.AST) -> str:
    """Return the last part of a dotted name."""
    return _dotted(node).rpartition(".")[2]


def _is_overload(function: Function) -> bool:
    """Say whether a function is only a typing.overload signature."""
    return any(_last_name(decorator) == "overload" for decorator in function.decorator_list)


def _is_static(function: Function) -> bool:
    """Say whether a method has no self."""
    return any(_last_name(decorator) == "staticmethod" for decorator in function.decorator_list)


def _arguments(function: Function, *, skip_first: bool) -> list[ast.arg]:
    """Return every argument that owes a type; a method's self or cls owes none."""
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args][1 if skip_first else 0 :]
    starred = [extra for extra in (spec.vararg, spec.kwarg) if extra]
    return [*positional, *spec.kwonlyargs, *starred]

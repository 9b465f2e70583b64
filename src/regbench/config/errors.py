"""Error messages of one line for the user: the key, what was expected, what was received."""

import difflib
import errno
import re
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from regbench.config.composing import CONFIGS, LIST_GROUPS, SINGLE_GROUPS, compose_raw
from regbench.config.source_code import PACKAGE_FOLDERS

NO_DECAY_HERE = (
    "weight decay is a regularizer here: use regularizer=weight_decay regularizer.weight_decay.coefficient=…"
)

_PACKAGE = Path(__file__).parents[1]
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def describe_error(error: BaseException, overrides: Iterable[str] = (), name: str = "train") -> str:
    """Return what went wrong in one line for the user: the key, what was expected, what was received.

    Args:
        error: What was raised.
        overrides: Of the command line.
        name: The YAML that was composed.
    """
    if (refused := _file_error(error)) is not None:
        return f"{refused.filename or 'a file of the run'}: cannot be written ({refused.strerror})"
    text = str(error) or (str(error.__cause__) if error.__cause__ else "") or type(error).__name__
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        return f"{group}: expected one of {', '.join(error.options)}; received {option!r}"
    if isinstance(error, OverrideParseException):
        reason = error.message.splitlines()[0]
        return f"{error.override}: expected KEY=VALUE, received what cannot be read as that ({reason})"
    if isinstance(error, InterpolationKeyError) and (missing := re.search(r"key '([^']+)' not found", text)):
        return f"{error.full_key}: its value is that of {missing[1]}, which is missing"
    if found := re.search(r"Could not override '([^']+)'\.", text):
        return _unknown_key(found[1], list(overrides), name)
    if isinstance(error, ConfigCompositionException) and error.__cause__ is not None and len(text.split()) < 3:
        text = str(error.__cause__)
    # A stop reaches the program wherever it is: that says nothing about the code that was running.
    place = _own_place(error) if isinstance(error, Exception) else None
    if place is not None and place[0] not in text:
        text = f"{place[0]}, in {place[1]}: {text.splitlines()[0]}"
    return " ".join(text.split())


def _own_place(error: BaseException) -> tuple[str, str] | None:
    """Return file and line, and the function, of the user's own code that the program called and that failed.

    The compiler names it in its message only; else it is the innermost frame outside of installed packages.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for each in reversed(chain):
        if named := re.findall(r'File "([^"]+)", line (\d+), in (\w+)', _after_user_code(str(each))):
            path, line, function = named[-1]
            if _is_own(path):
                return f"{path}:{line}", function
        frames = traceback.extract_tb(each.__traceback__)
        called = any(Path(frame.filename).is_relative_to(_PACKAGE) for frame in frames)
        own = [frame for frame in frames if _is_own(frame.filename) and frame.name not in {"__init__", "<module>"}]
        if called and own and own[-1] is not frames[0]:
            return f"{own[-1].filename}:{own[-1].lineno}", own[-1].name
    return None


def _after_user_code(text: str) -> str:
    return text.partition("from user code:")[2]


def _is_own(filename: str) -> bool:
    """Tell whether a file is the user's: not installed, not Python's, not the program's but for its techniques."""
    path = Path(filename)
    # An environment may borrow the packages of another one, which are not in its own folders.
    if filename.startswith(("<", *_INSTALLED)) or PACKAGE_FOLDERS.intersection(path.parts):
        return False
    return not path.is_relative_to(_PACKAGE) or (
        path.parent == _PACKAGE / "regularizers" and path.name not in {"base.py", "returned.py"}
    )


def _file_error(error: BaseException) -> OSError | None:
    """Return the full disk or lost permission behind another error: TensorBoard's logger hides it."""
    cause = error.__cause__ or error.__context__
    while cause is not None and not (isinstance(cause, OSError) and cause.errno in _DISK_ERRORS):
        cause = cause.__cause__ or cause.__context__
    return cause if not isinstance(error, OSError) else None


def _unknown_key(key: str, overrides: list[str], name: str) -> str:
    if key.startswith("optimizer.") and key.endswith("weight_decay"):
        return f"{key}: {NO_DECAY_HERE}"
    if "." not in key and "/" not in key and key in SINGLE_GROUPS:
        return f"{key}: no such option"
    parent, _, last = key.rpartition(".")
    choices = [each for each in overrides if re.match(r"\+{0,2}[\w/]+=", each) and not each.startswith(f"{key}=")]
    try:
        composed = compose_raw(choices, name)
        known = list(OmegaConf.select(composed, parent) if parent else composed)
    except (HydraException, OmegaConfBaseException, ValueError, TypeError):
        group, _, technique = parent.partition(".")
        if group in LIST_GROUPS and (CONFIGS / group / f"{technique}.yaml").exists():
            return f"{key}: {technique} is not chosen; add {group}={technique}"
        return f"{key}: no such key"
    known = [each for each in known if each not in {"_target_", "hydra"}]
    if last in known:  # that is there, and what it was to become is of another form
        return (
            f"{key}: expected the keys that it has, received others; change one by {key}.KEY=…, add one by +{key}.KEY=…"
        )
    hint = difflib.get_close_matches(last, known, n=1)
    meant = f" (did you mean {hint[0]}?)" if hint else ""
    return f"{key}: no such key{meant}; expected one of {', '.join(known) or 'none'}"

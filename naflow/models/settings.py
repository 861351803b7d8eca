"""Check settings that come from a file: plain values only, which name no code."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from naflow.errors import BadInput, near_names


def plain(settings: object, where: str) -> dict[str, Any]:
    """Return settings read from a file if each is a number, text, True, False, or a list of these.

    Raises BadInput, beginning with `where`, for anything else, and for names like _target_, with
    which a configuration names the code to call.
    """
    if not isinstance(settings, dict):
        raise BadInput(f"{where}: the settings are {_kind(settings)}, not names with values.")
    for name, value in settings.items():
        refuse_call(name, where)
        if not _is_plain(value):
            raise BadInput(
                f"{where}: the setting {name!r} is {_kind(value)}; only finite numbers, text, true "
                "and false, and lists of these are taken from a file."
            )
    return settings


def refuse_call(name: str, where: str) -> None:
    """Raise BadInput for a name like _target_: a file of results must not name code to call."""
    if name.startswith("_"):
        raise BadInput(
            f"{where}: {name!r} was refused and nothing was called: such names say which code to "
            "run, and a file that was handed over is data. Ask whoever made it why it is there."
        )


def parameters(function: Callable) -> dict[str, Any]:
    """Return a function's parameters, name -> annotation."""
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError:  # an annotation that only a type checker can read
        signature = inspect.signature(function)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: one.annotation for name, one in signature.parameters.items() if one.kind in named}


def check(settings: Mapping[str, object], known: Mapping[str, Any], who: str) -> None:
    """Raise BadInput for a setting that is not in `known` (name -> annotation), and for a value
    that does not fit its annotation."""
    for name, value in settings.items():
        if name not in known:
            raise BadInput(f"{who} has no setting {name!r}.{near_names(name, known)}")
        if not _fits(value, known[name]):
            wanted = getattr(known[name], "__name__", None) or str(known[name])
            raise BadInput(f"{who}: the setting {name!r} is {_kind(value)}; it must be {wanted}.")


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_plain(one) for one in value)
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _fits(value: object, annotation: Any) -> bool:
    if annotation in (Any, object, inspect.Parameter.empty) or isinstance(annotation, str):
        return True
    if annotation in (None, NoneType):
        return value is None
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if isinstance(origin, type) and issubclass(origin, Iterable):
        # A file can only hold a list where a caller may give a set or a tuple.
        listed = isinstance(value, list | origin) and not isinstance(value, str | Mapping)
        return listed and all(_fits(one, inner[0]) for one in value)
    if annotation in (int, float):
        wanted = Integral if annotation is int else Real
        return isinstance(value, wanted) and not isinstance(value, bool)
    return annotation in type(value).__mro__


def _kind(value: object) -> str:
    """Return a value as text, or the name of its type if the text is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"

"""Operators of every kind, held against one query over all rows so far."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

from penstock import operators
from penstock.operators.contract import Operator
from penstock.testing import Driven, check_operator

from .pipelines import CASES


@pytest.mark.parametrize("name", CASES)
def test_an_operator_keeps_the_contract(name: str) -> None:
    case = CASES[name]
    check_operator(case.pipeline, case.oracle, case.inputs, examples=15, **case.facts)


def operator_classes() -> set[type[Operator]]:
    """Return every operator of the package."""
    found = set()
    for module in pkgutil.iter_modules(operators.__path__):
        loaded = importlib.import_module(f"{operators.__name__}.{module.name}")
        classes = (c for _, c in inspect.getmembers(loaded, inspect.isclass))
        found |= {c for c in classes if issubclass(c, Operator) and c is not Operator}
    return found


def test_every_operator_is_checked() -> None:
    used: set[type[object]] = set()
    for case in CASES.values():
        for vertex in Driven(case.stream()).executor.graph.vertices:
            used |= {type(vertex.operator), type(getattr(vertex.operator, "operator", None))}
    missing = {c.__name__ for c in operator_classes() - used}
    assert not missing, "add a pipeline that uses it to pipelines.py"

"""SQL over streams: text to the same plan that ``Stream`` makes."""

from penstock.sql_plan.statements import sql

__all__ = ["sql"]

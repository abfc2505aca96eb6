"""Session: tables and views that SQL statements make, change, and keep up to date."""

from penstock.sql_session.script import sql_script
from penstock.sql_session.session import Session

__all__ = ["Session", "sql_script"]

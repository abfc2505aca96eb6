"""The embedded topic: a durable, partitioned log of records in a folder."""

from penstock.topics.partitioning import hash_column
from penstock.topics.records import Records
from penstock.topics.retention import Retention
from penstock.topics.store import Durability
from penstock.topics.topic import Topic

__all__ = ["Durability", "Records", "Retention", "Topic", "hash_column"]

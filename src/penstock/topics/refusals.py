"""Errors about places in a topic that are not there."""

from __future__ import annotations

from penstock.errors import ConfigError, ConnectorError, Fault


def no_partition(partition: int, partitions: int, step: str) -> ConfigError:
    """Build the error for a partition that a topic does not have."""
    return ConfigError(
        f"there is no partition {partition}; the topic has {partitions}",
        step=step,
        value=partition,
        alternatives=[str(number) for number in range(min(partitions, 16))],
    )


def no_offset(partition: int, offset: int, start: int, end: int, step: str) -> ConnectorError:
    """Build the error for an offset before the first record kept, or behind the last one."""
    if offset < start:
        return ConnectorError(
            f"retention has dropped partition {partition} up to offset {start}",
            step=step,
            value=offset,
            fault=Fault.USER,
            hint="keep more (Topic.set_retention), or read from start_offsets()",
        )
    return ConnectorError(
        f"partition {partition} ends at offset {end}, so there is no offset {offset}",
        step=step,
        value=offset,
        fault=Fault.USER,
        hint="was the topic removed and created anew since this offset was noted?",
    )

"""Whose fault an error of a Kafka client is, and whether trying again can help."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from penstock.connectors.poison import ValueRefusedError
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_CONFIGURATION = {
    "_AUTHENTICATION": "check user, password and mechanism",
    "SASL_AUTHENTICATION_FAILED": "check user, password and mechanism",
    "_SSL": "check tls, ca, certificate and certificate_key",
    "UNSUPPORTED_SASL_MECHANISM": "give another mechanism=",
    "TOPIC_AUTHORIZATION_FAILED": "grant the user access to the topic",
    "GROUP_AUTHORIZATION_FAILED": "grant the user access to the group",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": "grant the user Write on the transactional id",
    "CLUSTER_AUTHORIZATION_FAILED": "grant the user the right on the cluster",
    "_UNKNOWN_TOPIC": "create the topic, or check its name",
    "UNKNOWN_TOPIC_OR_PART": "create the topic, or check its name",
    "TOPIC_EXCEPTION": "check the name of the topic",
    "_INVALID_ARG": None,
    "INVALID_REPLICATION_FACTOR": "create the topic yourself",
    "POLICY_VIOLATION": "create the topic yourself",
}
"""Errors that somebody has to settle, by their names, and how."""

_OF_A_MESSAGE = {
    "MSG_SIZE_TOO_LARGE": "raise max.message.bytes of the topic",
    "RECORD_LIST_TOO_LARGE": "raise segment.bytes of the topic",
    "INVALID_RECORD": "a compacted topic takes no message without a key",
    "_INVALID_DIFFERENT_RECORD": "it came in one batch with one that is refused",
    "INVALID_TIMESTAMP": "raise message.timestamp.before.max.ms or .after.max.ms of the topic",
}
"""Errors of single messages, by their names, and what can be done about it."""

_ALERT = re.compile(r"alert .*(certificate|unknown ca)")
"""The broker does not like our certificate, or misses one; to the client that is a lost connection."""

LOST_COUNT = ("_PURGE_QUEUE", "_PURGE_INFLIGHT", "OUT_OF_ORDER_SEQUENCE_NUMBER")
"""Errors of a transaction that is to be made anew, by their names."""


def is_settled_by_user(error: KafkaError) -> bool:
    """Tell whether waiting cannot help."""
    return error.name() in _CONFIGURATION or _ALERT.search(error.str()) is not None


def is_of_a_message(error: KafkaError) -> bool:
    """Tell whether a message is refused for what it is; others may be taken."""
    return error.name() in _OF_A_MESSAGE


def connector_error(
    error: KafkaError, step: str, what: str, cause: str | None = None
) -> ConnectorError:
    """Build our error: ``what`` was tried; ``cause``: what the client does not say."""
    name = error.name()
    if is_of_a_message(error):
        return ValueRefusedError(
            f"Kafka: {error.str()} ({name})",
            step=step,
            value=name,
            fault=Fault.USER,
            hint=_OF_A_MESSAGE[name],
        )
    user = is_settled_by_user(error)
    return ConnectorError(
        f"{what} failed: {cause or error.str()} ({name})",
        step=step,
        value=name,
        fault=Fault.USER if user else Fault.REMOTE,
        retry=not user,
        hint=_CONFIGURATION.get("_SSL" if _ALERT.search(error.str()) else name),
    )

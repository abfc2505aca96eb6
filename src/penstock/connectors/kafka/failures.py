"""Whose fault an error of a Kafka client is, and whether trying again can help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_CONFIGURATION = {
    "_AUTHENTICATION": "check user, password and mechanism",
    "SASL_AUTHENTICATION_FAILED": "check user, password and mechanism",
    "_SSL": "check tls, ca, certificate and key",
    "UNSUPPORTED_SASL_MECHANISM": "give another mechanism=",
    "TOPIC_AUTHORIZATION_FAILED": "grant the user access to the topic",
    "GROUP_AUTHORIZATION_FAILED": "grant the user access to the group",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": "grant the user Write on the transactional id",
    "CLUSTER_AUTHORIZATION_FAILED": "grant the user the right on the cluster",
    "_UNKNOWN_TOPIC": "create the topic, or check its name",
    "UNKNOWN_TOPIC_OR_PART": "create the topic, or check its name",
    "TOPIC_EXCEPTION": "check the name of the topic",
    "_INVALID_ARG": None,
    "MSG_SIZE_TOO_LARGE": "raise message.max.bytes, of the topic and in settings=",
    "INVALID_REPLICATION_FACTOR": "create the topic yourself",
    "POLICY_VIOLATION": "create the topic yourself",
}
"""Errors that somebody has to settle, by their names, and how."""


def is_settled_by_user(error: KafkaError) -> bool:
    """Tell whether waiting cannot help."""
    return error.name() in _CONFIGURATION


def connector_error(error: KafkaError, step: str, what: str) -> ConnectorError:
    """Build our error: ``what`` was tried."""
    user = is_settled_by_user(error)
    return ConnectorError(
        f"{what} failed: {error.str()} ({error.name()})",
        step=step,
        value=error.name(),
        fault=Fault.USER if user else Fault.REMOTE,
        retry=not user,
        hint=_CONFIGURATION.get(error.name()),
    )

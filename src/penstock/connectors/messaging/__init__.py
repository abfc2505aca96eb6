"""What the connectors of message brokers share: servers, rows of messages, reconnection, encoding."""

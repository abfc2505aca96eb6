"""Reading from and writing to MQTT brokers, 3.1.1 and 5."""

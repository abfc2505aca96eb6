"""Sources and sinks: one folder per system, each with config.py and source.py, sink.py or both."""

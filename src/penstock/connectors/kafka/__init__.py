"""Reading and writing Apache Kafka."""

"""Reading and writing streams of NATS JetStream."""

"""Reading and writing queues and streams of RabbitMQ."""

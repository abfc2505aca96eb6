"""Lines and datagrams from TCP and UDP sockets."""

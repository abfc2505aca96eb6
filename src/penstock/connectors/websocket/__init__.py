"""WebSockets: messages of a server that is followed, of clients that connect, and to all who listen."""

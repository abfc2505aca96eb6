"""Decoders: messages in, typed rows out, bad messages set aside with a reason."""

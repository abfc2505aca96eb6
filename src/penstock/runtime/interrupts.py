"""Ctrl-C is for the main thread, not for the threads that a query runs on."""

from __future__ import annotations

import signal
import threading


def keep_interrupts_to_main_thread() -> None:
    """Take SIGINT back from Polars, so that Ctrl-C raises ``KeyboardInterrupt`` in the main thread only.

    Polars hooks the signal when it is imported: every ``collect`` that is running then, in whatever
    thread, raises ``KeyboardInterrupt`` too, and a query that is to end in good order would fail.
    Installing Python's own handler again removes that hook; what is lost is that Ctrl-C breaks off
    a long ``collect`` of the main thread at once. Only the main thread may do this.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    handler = signal.getsignal(signal.SIGINT)
    if handler is not None:  # None: installed by something other than Python, which we leave alone
        signal.signal(signal.SIGINT, handler)

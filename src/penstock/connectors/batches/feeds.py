"""Where frames come from: a list, an iterator on a thread, an async iterator on a loop.

A feed is asked with ``get(timeout_s)``: the next table, `END`, or ``TimeoutError``. The iterators
of users may block for ever; neither ``get`` nor ``close`` ever waits for them longer than asked.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Final, Protocol

from penstock.deferred import asyncio
from penstock.errors import ConnectorError, Fault

_CLOSE_TIMEOUT_S = 5.0
"""How long a cancelled async iterator may clean up; then its daemon thread is left alone."""


class End:
    """Says that no table will come any more."""


END: Final = End()


class Failure:
    """An exception of the user's iterator on its way to ``get``."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Feed(Protocol):
    """A sequence of tables that can be waited for."""

    def seek(self, index: int) -> None:
        """Skip to a frame, where the feed can."""

    def get(self, timeout_s: float) -> object:
        """Return the next table or `END`; raise ``TimeoutError`` if none comes in time."""

    def peek(self, timeout_s: float) -> object | None:
        """Return the table that ``get`` will bring next, None at the end."""

    def ended(self) -> bool:
        """Whether it is known that nothing more will come."""

    def close(self) -> None:
        """End every wait and let go of the iterator."""


class ListFeed:
    """The tables of a list."""

    def __init__(self, tables: Sequence[object]) -> None:
        self._tables = tables
        self._index = 0

    def seek(self, index: int) -> None:
        """Go to table ``index``."""
        self._index = index

    def get(self, timeout_s: float) -> object:  # noqa: ARG002 - a list never waits
        """Return the next table."""
        if self.ended():
            return END
        self._index += 1
        return self._tables[self._index - 1]

    def peek(self, timeout_s: float) -> object | None:  # noqa: ARG002 - a list never waits
        """Return the next table without taking it."""
        return None if self.ended() else self._tables[self._index]

    def ended(self) -> bool:
        """Whether all were taken."""
        return self._index >= len(self._tables)

    def close(self) -> None:
        """Nothing to let go of."""


class _Slot:
    """Room for one item between a producing and a consuming thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._items: list[object] = []
        self.closed = False
        self.finished = False

    def put(self, item: object) -> bool:
        """Wait for room; False if closed."""
        with self._condition:
            self._condition.wait_for(lambda: self.closed or not self._items)
            if self.closed:
                return False
            self._items.append(item)
            self._condition.notify_all()
            return True

    def offer(self, item: object) -> None:
        """Put without waiting: the producer was asked for one item and brings it."""
        with self._condition:
            self._items.append(item)
            self._condition.notify_all()

    def get(self, timeout_s: float, *, keep: bool = False) -> object:
        with self._condition:
            self._condition.wait_for(lambda: self.closed or self._items, timeout_s)
            if self.closed:
                return END
            if not self._items:
                raise TimeoutError
            item = self._items[0]
            if not keep and not isinstance(item, End | Failure):
                self._items.clear()
                self._condition.notify_all()
            return item

    def close(self) -> None:
        with self._condition:
            self.closed = True
            self._condition.notify_all()


class _SlotFeed:
    """What both kinds of iterator share: the consuming side of a slot."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._slot = _Slot()
        self._taken = 0
        self._at_end = False

    def seek(self, index: int) -> None:
        """Iterators go on where they are; ``index`` only numbers the frames in messages."""
        self._taken = index

    def ask(self) -> None:
        """Tell the producing side that a table is wanted."""

    def get(self, timeout_s: float) -> object:
        """Return the next table."""
        self.ask()
        item = self._checked(self._slot.get(timeout_s))
        if item is not END:
            self._taken += 1
        return item

    def peek(self, timeout_s: float) -> object | None:
        """Return the next table without taking it."""
        self.ask()
        item = self._checked(self._slot.get(timeout_s, keep=True))
        return None if item is END else item

    def ended(self) -> bool:
        """Whether the iterator is exhausted, as far as is known."""
        return self._at_end

    def _checked(self, item: object) -> object:
        if isinstance(item, Failure):
            raise ConnectorError(
                f"the iterator failed at frame {self._taken + 1}: "
                f"{type(item.error).__name__}: {item.error}",
                step=self._label,
                fault=Fault.USER,
            ) from item.error
        if item is END:
            self._at_end = True
        return item


class ThreadFeed(_SlotFeed):
    """An iterator, run one table ahead on a daemon thread of its own."""

    def __init__(self, iterator: Iterator[object], label: str) -> None:
        super().__init__(label)
        self._iterator = iterator
        threading.Thread(target=self._run, name=f"penstock {label}", daemon=True).start()

    def _run(self) -> None:
        try:
            for table in self._iterator:
                if not self._slot.put(table):
                    break
            else:
                self._slot.put(END)
        except BaseException as error:  # noqa: BLE001 - it is raised again by get()
            self._slot.put(Failure(error))
        finally:
            close = getattr(self._iterator, "close", None)
            if close is not None:
                close()

    def close(self) -> None:
        """Leave the iterator; a generator is closed on its own thread when it next yields."""
        self._slot.close()


class AsyncFeed(_SlotFeed):
    """An async iterator, asked for one table at a time on an event loop of its own."""

    def __init__(self, iterator: AsyncIterator[object], label: str) -> None:
        super().__init__(label)
        self._iterator = iterator
        self._loop = asyncio.new_event_loop()
        self._asked = False
        self._task: asyncio.Task[None] | None = None
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"penstock {label}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def ask(self) -> None:
        """Start the next step of the iterator, unless one runs or has brought something."""
        if self._asked or self._at_end or self._slot.closed:
            return
        self._asked = True
        self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._step())

    async def _step(self) -> None:
        try:
            self._slot.offer(await anext(self._iterator))
        except StopAsyncIteration:
            self._slot.offer(END)
        except asyncio.CancelledError:
            self._slot.offer(END)
        except BaseException as error:  # noqa: BLE001 - it is raised again by get()
            self._slot.offer(Failure(error))

    def get(self, timeout_s: float) -> object:
        """Return the next table, and have the iterator work on the one after it."""
        item = super().get(timeout_s)
        self._asked = item is END
        self.ask()
        return item

    def close(self) -> None:
        """Cancel the iterator where it waits, let it clean up, and stop the loop."""
        self._slot.close()
        with self._closing:
            if self._thread.is_alive() and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._begin_shutdown)
                self._thread.join(_CLOSE_TIMEOUT_S)

    def _begin_shutdown(self) -> None:
        self._shutdown_task = self._loop.create_task(self._shutdown())

    async def _shutdown(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CLOSE_TIMEOUT_S)
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            cleanup: Coroutine[object, object, None] = aclose()
            await asyncio.gather(
                asyncio.wait_for(cleanup, _CLOSE_TIMEOUT_S), return_exceptions=True
            )
        await self._loop.shutdown_asyncgens()
        self._loop.stop()

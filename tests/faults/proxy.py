"""A TCP proxy before PostgreSQL that lets a COMMIT through and loses its answer, or stands still."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from tests.servers.ports import free_port


class Proxy:
    """lose_every: the answer of every n-th COMMIT is lost, and the connection with it."""

    def __init__(self, target_port: int, lose_every: int) -> None:
        self.port, self._target, self._every = free_port(), target_port, lose_every
        self.commits = self.lost = 0
        self.stalled = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            losing = threading.Event()
            threading.Thread(target=self._upstream, args=(client, server, losing), daemon=True).start()
            threading.Thread(target=self._downstream, args=(client, server, losing), daemon=True).start()

    def _upstream(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                while self.stalled.is_set():
                    time.sleep(0.02)
                if b"COMMIT\0" in data:
                    with self._lock:
                        self.commits += 1
                        if self.commits % self._every == 0:
                            losing.set()
                            self.lost += 1
                server.sendall(data)
        self._close(client, server)

    def _downstream(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if losing.is_set():  # the database has committed; nobody hears of it
                    break
                client.sendall(data)
        self._close(client, server)

    def _close(self, *sockets: socket.socket) -> None:
        for s in sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
                s.close()

    def close(self) -> None:
        self._listener.close()

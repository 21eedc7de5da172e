"""`postroom reload` in the face of a server that says nothing, or nonsense."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from postroom.cli import reload
from postroom.cli.main import Failure
from postroom.net.ipc import bind_unix
from postroom.site.places import Places


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "RELOAD_SECONDS", 0.05)
    places = Places(tmp_path)
    places.make()
    with bind_unix(str(places.reload)), pytest.raises(Failure, match="has not answered yet"):
        reload._ask(places)


@pytest.mark.parametrize("said", [b"", b"nonsense\n", b'{"reloaded": 3}\n'])
def test_a_server_that_ends_or_talks_nonsense_is_a_failure(tmp_path: Path, said: bytes) -> None:
    places = Places(tmp_path)
    places.make()
    with bind_unix(str(places.reload)) as listening:
        listening.setblocking(True)

        def answer() -> None:
            sock: socket.socket = listening.accept()[0]
            with sock:
                sock.sendall(said)

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(Failure, match="the server ended"):
            reload._ask(places)
        answering.join()

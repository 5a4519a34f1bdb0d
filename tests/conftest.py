"""Servers that tests share. With CI=true a missing one is a failure; elsewhere it is a skip."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest


def _started(make: Any) -> Any:
    try:
        return make()
    except (RuntimeError, FileNotFoundError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    from tests.servers.postgres import Postgres

    server = _started(Postgres)
    yield server
    server.close()


@pytest.fixture(scope="session")
def kafka() -> Iterator[Any]:
    from tests.servers.kafka import Kafka

    server = _started(Kafka)
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """The address of an empty database, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/driftd.db"
    server = request.getfixturevalue("postgres")
    return str(server.url(server.new_database()))

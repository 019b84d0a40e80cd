from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from tests.support.prometheus_server import refusing_url
from tests.support.site import Site

DOCKERFILE = (Path(__file__).parents[2] / "Dockerfile").read_text()


async def checked(**environment: str) -> int:
    """How the image's health check ends in this *environment*."""
    found = re.search(r"^HEALTHCHECK (?:.*\\\n)*.*CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    _, *arguments = json.loads(found[1])
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])  # noqa: S104 - as the stack has it
async def test_it_asks_where_the_autoscaler_listens(host: str) -> None:
    """The image's health check goes by AUTOSCALER_LISTEN, and by no proxy: Swarm would end a task that is well."""
    with refusing_url() as proxy:
        async with Site().served() as server:
            address = f"{host}:{server.address[1]}"
            assert await checked(AUTOSCALER_LISTEN=address, http_proxy=proxy) == 0
        assert await checked(AUTOSCALER_LISTEN=proxy.removeprefix("http://")) != 0


@pytest.mark.parametrize("where", ["Dockerfile", "deploy", "examples"])
def test_no_health_check_asks_for_readiness(where: str) -> None:
    """In an outage of Prometheus the autoscaler is not ready, and a health check that asked would have it killed."""
    root = Path(__file__).parents[2] / where
    files = [root] if root.is_file() else [file for file in root.rglob("*") if file.suffix in {".yml", ".yaml", ".sh"}]
    assert [file for file in files if "/-/ready" in file.read_text()] == []

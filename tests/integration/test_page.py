"""The page at `/` and its files, as a browser gets them."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from yarl import URL

import autoscaler
from autoscaler.web.page import POLICY, static_files, version
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from multidict import CIMultiDictProxy

STATIC = Path(autoscaler.__file__).parent / "web" / "static"
VENDOR = STATIC / "vendor"
MANIFEST = json.loads((VENDOR / "manifest.json").read_text())
ROOT = STATIC.parents[2]
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
SERVED = sorted(str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.suffix in TYPES)


@pytest.fixture
async def base() -> AsyncIterator[str]:
    """Where the page is served."""
    async with Site().served() as server:
        yield "http://{}:{}".format(*server.address)


async def ask(url: str, **headers: str) -> tuple[int, CIMultiDictProxy[str], bytes]:
    """Return status, headers and the bytes as they came."""
    async with (
        aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"}) as session,
        session.get(URL(url, encoded=True), headers=headers) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def test_the_page_lets_no_text_become_code(base: str) -> None:
    """The page is HTML that no browser keeps; its policy allows files of this server alone, and Trusted Types."""
    status, headers, body = await ask(f"{base}/")
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))

    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "lit-html")
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in POLICY
    assert b"{version}" not in body
    assert b"<style" not in body
    assert not re.search(rb"<script(?![^>]* src=)|\son\w+=|style=|https?://", body)


@pytest.mark.parametrize("name", SERVED)
async def test_each_file_is_served_as_it_is(base: str, name: str) -> None:
    """A file has its type, may be kept for ever under its version, and is the same with gzip."""
    url = f"{base}/static/{version()}/{name}"
    status, headers, plain = await ask(url)
    _, zipped_headers, zipped = await ask(url, **{"Accept-Encoding": "gzip"})

    assert (status, headers["Content-Type"]) == (200, f"{TYPES[Path(name).suffix]}; charset=utf-8")
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["Vary"] == zipped_headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in headers
    assert zipped_headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped) == plain
    if name != "index.html":
        assert plain == (STATIC / name).read_bytes()


async def test_the_page_names_files_that_are_there(base: str) -> None:
    """Each file that the page, a style sheet or a script names is served, under the version of now."""
    _, _, body = await ask(f"{base}/")
    named = re.findall(r'(?:href|src)="(/static/[^"]+)"', body.decode())
    assert len(named) >= 4
    for path in named:
        assert (await ask(f"{base}{path}"))[0] == 200, path
    for name in SERVED:
        if name.endswith(".js") and not name.startswith("vendor/uplot"):
            text = (STATIC / name).read_text()
            for found in re.findall(r"""(?:from|import\()\s*["'](\.[^"']+)["']""", text):
                assert ((STATIC / name).parent / found).resolve().is_file(), (name, found)


@pytest.mark.parametrize(
    "path",
    [
        "/static/0123456789ab/page.js",
        "/static/{version}/nothing.js",
        "/static/{version}/",
        "/static/{version}/vendor",
        "/static/{version}/vendor/manifest.json",
        "/static/{version}/../page.py",
        "/static/{version}/..%2fpage.py",
        "/static/{version}/%2e%2e/%2e%2e/settings.py",
        "/static/{version}/%2fetc/passwd",
        "/static/{version}/page.js%00",
        "/static/",
        "/index.html",
    ],
)
async def test_nothing_else_is_served(base: str, path: str) -> None:
    """A file of another version, a folder, a path that leaves the folder and a file of another kind are a 404."""
    status, headers, _ = await ask(base + path.replace("{version}", version()))

    assert status in ({400, 404} if "%00" in path else {404})
    assert headers["Cache-Control"] == "no-store"
    assert "Content-Security-Policy" in headers


def test_the_first_view_is_small() -> None:
    """What a browser loads for the first view, without the charts of a service's page, is under 40 kB with gzip."""
    first = [file.zipped for name, file in static_files().items() if "uPlot.esm" not in name and "charts" not in name]

    assert sum(map(len, first)) < 40_000


@pytest.mark.parametrize("package", MANIFEST["packages"], ids=lambda each: each["folder"])
def test_files_of_others_are_as_they_were_published(package: dict[str, str | dict[str, str]]) -> None:
    """A folder of others has its licence, and exactly the files of the manifest, byte by byte."""
    folder = VENDOR / str(package["folder"])
    found = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }

    assert found == package["sha256"]
    assert "LICENSE" in found
    assert package["licence"] in {"BSD-3-Clause", "MIT"}
    assert package["folder"] == f"{package['name']}-{package['version']}"


def test_the_manifest_has_all_files_of_others() -> None:
    """The folder has nothing beside the manifest and the packages that it names."""
    named = {package["folder"] for package in MANIFEST["packages"]}

    assert {path.name for path in VENDOR.iterdir()} == named | {"manifest.json"}


@pytest.mark.slow
def test_the_wheel_has_the_page(tmp_path: Path) -> None:
    """An installation has every file of the page, licences and manifest included."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(STATIC.parents[1], tmp_path / "autoscaler", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(  # noqa: S603 - our own build
        [Path(sys.executable).with_name("hatchling"), "build", "--target", "wheel"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")

    packed = set(zipfile.ZipFile(wheel).namelist())

    assert {
        f"autoscaler/web/static/{path.relative_to(STATIC)}" for path in STATIC.rglob("*") if path.is_file()
    } <= packed

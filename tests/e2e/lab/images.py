"""Images made here, because no image registry can be reached."""

import ast
import contextlib
import fcntl
import importlib.util
import io
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .engine import Engine
from .process import CACHE, LabError, run, tool

LOAD_IMAGE = "local/load:1"
BASE = "python:3.11-slim-bookworm"
"""The base image that the Dockerfile names."""

_RELEASE = "bookworm"
_PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"  # Debian's; the same place on the machine and in the image


def load_image(engine: Engine) -> str:
    """The name of the workload image, imported into *engine* if it is not there: busybox and the script /bin/load."""
    if not engine.client.images(name=LOAD_IMAGE):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for directory in ("bin", "control", "held", "proc", "sys", "dev", "etc", "tmp"):
                _add_directory(tar, directory)
            _add(tar, "bin/busybox", Path(tool("busybox")).read_bytes(), mode=0o755)
            for applet in run("busybox", "--list").split():
                if applet != "busybox":
                    _add_link(tar, f"bin/{applet}", "busybox")
            _add(tar, "bin/load", Path(__file__).with_name("load.sh").read_bytes(), mode=0o755)
        archive.seek(0)
        engine.import_image(archive, LOAD_IMAGE, ['CMD ["/bin/load"]', "ENV PATH=/bin"])
    return LOAD_IMAGE


def python_base(engine: Engine, name: str) -> str:
    """Make a stand-in for the official Python image, called *name* in *engine*; returns the name.

    A Debian with `python`, `pip` and `venv` in which `pip install` works as on this machine. The file system is made
    once (about a minute) and kept in the cache; the machine's CA bundle and pip's settings are laid over it. An engine
    gets it once, so that what was built on it is built again from the engine's cache.
    Not there: site-packages (Debian says dist-packages), the official image's newer pip.
    """
    if engine.client.images(name=name):
        return name
    with tempfile.TemporaryDirectory(dir=engine.directory) as scratch:
        archive = Path(scratch) / "base.tar"
        shutil.copyfile(_python_file_system(), archive)
        with tarfile.open(archive, "a") as tar:
            bundle = Path(os.environ.get("SSL_CERT_FILE", _CA_BUNDLE))
            _add(tar, _CA_BUNDLE[1:], bundle.read_bytes())
            _add(tar, "etc/pip.conf", _pip_settings().encode())
        environment = f"ENV LANG=C.UTF-8 SSL_CERT_FILE={_CA_BUNDLE} PIP_CERT={_CA_BUNDLE}"
        return engine.import_image(archive, name, ['CMD ["python3"]', environment])


def _python_file_system() -> Path:
    """The cached archive of the stand-in's file system; debootstrap makes it from the machine's mirror."""
    archive = CACHE / f"python-{_RELEASE}.tar"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / "python.lock"):
        if archive.exists():
            return archive
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            root = Path(directory) / "root"
            # In namespaces of its own: interrupted, it takes its processes and its mounts in the new root with it.
            run(
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--", tool("debootstrap")),
                "--variant=minbase",
                f"--include={','.join(_PACKAGES)}",
                _RELEASE,
                root,
                _mirror(),
                timeout=1800,
            )
            for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
                shutil.rmtree(root / waste, ignore_errors=True)
            # This machine's goes there, and the engine refuses an archive with two files of one name.
            (root / _CA_BUNDLE[1:]).unlink(missing_ok=True)
            # Debian keeps pip out of its own Python; the official image, whose Python is nobody else's, does not.
            for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
                marker.unlink()
            for alias in ("python", "python3"):
                (root / "usr/local/bin" / alias).symlink_to("/usr/bin/python3")
            half = Path(directory) / archive.name
            unreal = ("--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*")
            run("tar", "--create", "--file", half, "--directory", root, *unreal, ".")
            half.replace(archive)
    return archive


def _mirror() -> str:
    """The machine's own Debian mirror, as apt understands its configuration."""
    listed = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages")
    for line in listed.splitlines():
        uri, codename, component = line.rsplit(" ", 2)
        if (codename, component) == (_RELEASE, "main"):
            return uri
    raise LabError(f"apt has no list of {_RELEASE} main; add that source, or run apt-get update")


def _pip_settings() -> str:
    """This machine's settings of pip as a pip.conf, less what names a local path (which the image does not have)."""
    sections: dict[str, dict[str, str]] = {"global": {}}
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else ["pip3"]
    for line in run(*pip, "config", "list").splitlines():
        key, _, quoted = line.partition("=")
        section, _, option = key.rpartition(".")
        if section == ":env:":
            section = "global"
        values = [value for value in str(ast.literal_eval(quoted)).split() if not _is_local(value)]
        if values:  # pip lists the environment first, and it wins in pip too: keep what was seen first
            sections.setdefault(section, {}).setdefault(option, "\n    ".join(values))
    sections["global"]["cert"] = _CA_BUNDLE
    return "".join(
        f"[{section}]\n" + "".join(f"{option} = {value}\n" for option, value in options.items())
        for section, options in sections.items()
    )


def _is_local(value: str) -> bool:
    return value.startswith(("/", "~", ".", "file:"))


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _add_directory(tar: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(entry)


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; others wait."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

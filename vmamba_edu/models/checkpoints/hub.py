"""Fetching a file from a hub repository, with one clear error for each thing that can go wrong."""

import os
import re
import socket
import urllib.request
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from vmamba_edu.models.checkpoints.read import SUFFIXES

DEFAULT_FILES = ("model.safetensors", "pytorch_model.bin")
ENDINGS = "|".join(re.escape(suffix) for suffix in SUFFIXES)
HUB_FILE = re.compile(rf"([\w.-]+/[\w.-]+)/(.+(?:{ENDINGS}))")
HUB_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def split_hub_id(source: str) -> tuple[str, str | None] | None:
    """("owner/name", file) of "owner/name/file", ("owner/name", None) of "owner/name"; None if it is neither."""
    if source.startswith((".", "/", "~")):
        return None
    if found := HUB_FILE.fullmatch(source):
        return found[1], found[2]
    is_repository = HUB_REPOSITORY.fullmatch(source) and not source.endswith(SUFFIXES)
    return (source, None) if is_repository else None


def download(repository: str, file: str | None = None) -> Path:
    """The path of a file of a hub repository: from the cache, or downloaded with a progress bar.

    Args:
        repository: "owner/name".
        file: its name there; if not given, model.safetensors or else pytorch_model.bin.

    Raises:
        ImportError: huggingface_hub is not installed (extra `lab`).
        ConnectionError: the hub cannot be reached, and the file is not in the cache.
        PermissionError: the repository is open to few.
        FileNotFoundError: there is no such repository or file.
    """
    hub = _huggingface_hub()
    for name in (file,) if file else DEFAULT_FILES:
        cached = hub.try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    _check_connection(hub, repository, file)
    for name in (file,) if file else DEFAULT_FILES:
        if path := _fetch(hub, repository, name):
            return path
    wanted = file or " or ".join(DEFAULT_FILES)
    raise FileNotFoundError(f"source: {repository} has no file {wanted}; look at its page for the names it has")


def _fetch(hub: ModuleType, repository: str, name: str) -> Path | None:
    """The path of a downloaded file; None if the repository has none of that name."""
    try:
        return Path(hub.hf_hub_download(repository, name))
    except (hub.errors.LocalEntryNotFoundError, hub.errors.OfflineModeIsEnabled):
        raise _no_connection(repository, name) from None
    except hub.errors.GatedRepoError:
        hint = "ask on its page, then log in"
        raise PermissionError(f"source: {repository} is open to those alone whom its owners let in: {hint}") from None
    except hub.errors.RepositoryNotFoundError:
        raise FileNotFoundError(f"source: the hub has no repository {repository!r}, or not for you") from None
    except hub.errors.EntryNotFoundError:
        return None
    except (hub.errors.HfHubHTTPError, OSError):
        raise _no_connection(repository, name) from None


def _huggingface_hub() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors  # not there with the package alone
    except ImportError as error:
        raise ImportError("downloading needs huggingface_hub: pip install 'vmamba-edu[lab]'") from error
    return huggingface_hub


def _check_connection(hub: ModuleType, repository: str, file: str | None) -> None:
    """Look up the hub's address: without a network that fails at once. The hub's own client tries for half a minute."""
    host = urlsplit(hub.constants.ENDPOINT).hostname
    if hub.constants.HF_HUB_OFFLINE or urllib.request.getproxies() or host is None:
        return
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        raise _no_connection(repository, file) from None


def _no_connection(repository: str, file: str | None) -> ConnectionError:
    name = f"{repository}/{file}" if file else repository
    offline = " HF_HUB_OFFLINE is set." if os.environ.get("HF_HUB_OFFLINE") else ""
    return ConnectionError(
        f"source: {name} is not in the cache, and the hub cannot be reached.{offline} Connect to a network, or download"
        " the file elsewhere, and give its path"
    )

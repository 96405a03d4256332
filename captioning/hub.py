"""Checkpoints as repositories of the Hugging Face Hub: on the Hub, or as folders of the same files.

A repository holds the checkpoint as `model.safetensors`, its `ModelConfig` as `config.json`, for readers, and
its card as `README.md`, with the metadata that the Hub reads on top.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory

from captioning.checkpoint import read_info
from captioning.errors import CheckpointError, shown
from captioning.files import write_whole

WEIGHTS = "model.safetensors"
METADATA = "library_name: captioning\npipeline_tag: image-to-text\ntags: [image-captioning, attention, onnx]\n"
LICENSE = re.compile(r"^licen[cs]e: *([\w.-]+)$", re.MULTILINE | re.IGNORECASE)


def find_checkpoint(repository: Path | str) -> Path:
    """The checkpoint of a repository; the Hub's are downloaded once into the cache of `huggingface_hub`.

    Args:
        repository: a folder, or `owner/name` on the Hub, where there is no such folder.

    Raises:
        CheckpointError: there is no such repository, it has no checkpoint, or it cannot be read.
    """
    folder = Path(repository)
    if folder.is_dir():
        if not (folder / WEIGHTS).is_file():
            raise CheckpointError(f"{shown(folder)} has no {WEIGHTS}: name a folder that captioning push wrote.")
        return folder / WEIGHTS
    if folder.is_file():
        raise CheckpointError(f"{shown(folder)} is a file: load it with Captioner.from_checkpoint.")
    name = str(repository)
    with _hub(name):
        from huggingface_hub import hf_hub_download

        ask_once(name, WEIGHTS)
        return Path(hf_hub_download(name, WEIGHTS))


def ask_once(repository: str, *files: str, timeout: float = 10) -> None:
    """Ask the Hub for the first of these files where none is cached; a download tries for half a minute to reach it.

    Args:
        repository: `owner/name`.
        files: names in it.
        timeout: seconds until the Hub is to have answered.

    Raises:
        HfHubHTTPError: it answers that there is no such file, or refuses it.
        Exception: it cannot be reached; of the HTTP library, which differs between versions of `huggingface_hub`.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    if not any(isinstance(try_to_load_from_cache(repository, file), str) for file in files):
        get_hf_file_metadata(hf_hub_url(repository, files[0]), timeout=timeout)


def write_repository(checkpoint: Path, folder: Path) -> None:
    """Write a checkpoint as a repository.

    Args:
        checkpoint: of the file; its card is the `.md` of the same name beside it.
        folder: is made where there is none; other files in it stay.

    Raises:
        CheckpointError: the checkpoint is missing or not sound.
        CaptioningError: a file cannot be written there.
    """
    info = read_info(checkpoint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"The folder {folder} cannot be made ({error.strerror}): name another.") from None
    write_whole(folder / WEIGHTS, checkpoint.read_bytes())
    write_whole(folder / "config.json", json.dumps(asdict(info.config), indent=2).encode())
    write_whole(folder / "README.md", _readme(checkpoint).encode())


def push(checkpoint: Path, repository: str) -> str:
    """Upload a checkpoint to a repository of the Hub, which is made where there is none.

    Args:
        checkpoint: see `write_repository`.
        repository: `owner/name`.

    Returns:
        The address of the repository.

    Raises:
        CheckpointError: the checkpoint is not sound, or the Hub does not take it.
    """
    with _hub(repository), TemporaryDirectory() as folder:
        from huggingface_hub import create_repo, upload_folder

        write_repository(checkpoint, Path(folder))
        address = create_repo(repository, exist_ok=True)
        upload_folder(repo_id=repository, folder_path=folder, commit_message=f"Upload {checkpoint.stem}")
        return address


def _readme(checkpoint: Path) -> str:
    """The card with metadata on top, its own where it has some."""
    path = checkpoint.with_suffix(".md")
    card = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else f"# {checkpoint.stem}\n"
    if card.startswith("---\n"):
        return card
    license = LICENSE.search(card)
    return f"---\n{METADATA}" + (f"license: {license[1].lower()}\n" if license else "") + f"---\n\n{card}"


@contextmanager
def _hub(repository: str) -> Iterator[None]:
    """The block may ask the Hub for this repository; what goes wrong there ends in one sentence."""
    try:
        from httpx2 import HTTPError
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        raise CheckpointError(
            f"{shown(repository)} is on the Hub, for which huggingface_hub is not installed: "
            "pip install -r requirements-hub.txt."
        ) from None
    try:
        yield
    except HFValidationError:
        raise CheckpointError(
            f"{shown(repository)} is neither a folder nor a name on the Hub, such as owner/name."
        ) from None
    except (HTTPError, OSError, RuntimeError) as error:  # hf-xet, which transfers large files, has no other type.
        raise CheckpointError(_explain(shown(repository), error)) from None


def _explain(repository: str, error: Exception) -> str:
    from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError

    if isinstance(error, RemoteEntryNotFoundError):
        return f"The repository {repository} has no {WEIGHTS}: name one that captioning push made."
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"The Hub refuses {repository} ({status}): check the name, and log in with hf auth login."
    if status == HTTPStatus.NOT_FOUND:
        return f"The Hub has no repository {repository} that you may read: check the name, or name a folder."
    reason = status or shown(str(error).strip() or type(error).__name__).rstrip(".")
    return f"The Hub gave no answer for {repository} ({reason}): check the network and the disk, and try again."

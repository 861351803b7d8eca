"""Files of the Hugging Face hub, or of a local folder in its place; never a pickle or code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from naflow.errors import BadInput
from naflow.models.origins.origin import Fetched
from naflow.needed import need

WEIGHTS = "model.safetensors"
_LARGEST = 1 << 24  # of layers, channels, classes: memory is taken for each


@dataclass(frozen=True)
class Repository:
    """A repository of the hub, or a local folder with the same files.

    name   owner/name, owner/name@revision, or the folder
    said   the network's name as the user gave it, for messages
    extra  the extra of naflow that is needed to download
    """

    name: str
    said: str
    extra: str

    @property
    def folder(self) -> Path | None:
        """The local folder; None for a repository of the hub."""
        return Path(self.name) if Path(self.name).is_dir() else None

    def file(self, name: str, revision: str | None = None) -> Path:
        """Return the path of a file, downloaded if it is not on this machine.

        Raises BadInput, with what to do, if it is not available.
        """
        if self.folder is not None:
            if not (self.folder / name).is_file():
                raise self._absent(name)
            return self.folder / name
        if "/" not in self.name:
            raise self._neither()
        need("huggingface_hub", extra=self.extra)
        from huggingface_hub import errors, hf_hub_download

        repository, _, asked = self.name.partition("@")
        try:
            return Path(hf_hub_download(repository, name, revision=revision or asked or None))
        except errors.HFValidationError:
            raise self._neither() from None
        except errors.LocalEntryNotFoundError:
            raise self._unreachable(name) from None
        except errors.EntryNotFoundError:
            raise self._absent(name) from None
        except errors.GatedRepoError:
            raise BadInput(
                f"{self.said}: its owners require an account: accept their terms at "
                f"{self.address}, then run `hf auth login`."
            ) from None
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
            raise BadInput(
                f"{self.said}: there is no {self.name} at {_endpoint()}, or it is private: then "
                "run `hf auth login`."
            ) from None
        except (OSError, errors.HfHubHTTPError) as error:
            why = str(error).partition("\n")[0] or type(error).__name__
            raise self._unreachable(name, why) from None

    def here(self, name: str, revision: str | None) -> bool:
        """Whether a file is on this machine already."""
        if self.folder is not None:
            return True
        from huggingface_hub import try_to_load_from_cache

        repository, _, asked = self.name.partition("@")
        path = try_to_load_from_cache(repository, name, revision=revision or asked or None)
        return isinstance(path, str)

    def json(self, name: str, revision: str | None = None) -> tuple[dict[str, Any], Path]:
        """Return the content and the path of a JSON file. Raises BadInput if it holds no JSON
        object."""
        path = self.file(name, revision)
        try:
            content = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise BadInput(f"{self.said}: its {name} holds no settings.")
        if _largest(content) > _LARGEST:
            raise BadInput(
                f"{self.said}: its {name} holds numbers above {_LARGEST:,}, which no network has "
                "of anything."
            )
        return content, path

    def revision(self, path: Path) -> str | None:
        """Return the commit of a downloaded file, so that all files are taken from the same one."""
        return None if self.folder is not None else path.parent.name

    def weights(self, revision: str | None, licence: str = "") -> Fetched:
        """Return model.safetensors, with the given licence or that of the repository's page."""
        path = self.file(WEIGHTS, revision)
        address = f"{self.address}/tree/{revision}" if revision else str(path.parent)
        return Fetched.of(path, address, licence or self._licence(revision))

    @property
    def address(self) -> str:
        """The address of the repository's page."""
        return f"{_endpoint()}/{self.name.partition('@')[0]}"

    def _licence(self, revision: str | None) -> str:
        try:
            from huggingface_hub import metadata_load

            name = (metadata_load(self.file("README.md", revision)) or {}).get("license")
        except Exception:  # no page, or metadata that cannot be read
            return ""
        return name if isinstance(name, str) else ""

    def _neither(self) -> BadInput:
        return BadInput(
            f"{self.said}: neither a folder nor the owner/name of a repository of the hub."
        )

    def _absent(self, name: str) -> BadInput:
        if name != WEIGHTS:
            return BadInput(f"{self.said}: {self.name} has no {name}, which describes the network.")
        return BadInput(
            f"{self.said}: {self.name} has no {name}, and pickles of a hub are not read: ask its "
            "owners for that file, or give a checkpoint of your own as --weights."
        )

    def _unreachable(self, name: str, why: str = "no connection") -> BadInput:
        return BadInput(
            f"{self.said}: {name} of {self.name} could not be downloaded from {_endpoint()} "
            f"({why.rstrip('.')}): connect this machine, or download the repository elsewhere "
            f"(`hf download {self.name} --local-dir FOLDER`) and give hf:FOLDER."
        )


def _largest(settings: Any) -> int:
    """The largest whole number in settings that were read from JSON."""
    if isinstance(settings, (dict, list)):
        inner = settings.values() if isinstance(settings, dict) else settings
        return max(map(_largest, inner), default=0)
    return abs(settings) if isinstance(settings, int) else 0


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT

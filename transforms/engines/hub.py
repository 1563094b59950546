"""Models on the Hugging Face hub: in this machine's cache, or fetched into it before work starts.

Engines only ever look into the cache (`HubModel.cached`). The one place that fetches is the process
that plans a run, before any phase begins (`pipeline/hub_models.py`): a worker without a network
would find out last, and two would fetch at once. What lies in the cache is taken as it is, so a
revision that moves, such as `main`, moves only when it is fetched again on purpose.

The token is huggingface_hub's business: HF_TOKEN, or the one that `hf auth login` stored. It is in
no key, log or record; this file only asks whether there is one, to say what is missing.
"""

import dataclasses
from pathlib import Path
from typing import Any

from transforms.engines.models import ModelError

TOKENS = "https://hf.co/settings/tokens"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HubModel:
    """A model that is named by its id on the hub."""

    engine: str  # as it stands in a recipe: errors say it
    repo: str  # owner/name
    revision: str | None = None  # branch, tag or commit; None: main
    files: tuple[str, ...] | None = None  # patterns; None: all of them
    by_hand: str  # what to do where it cannot be fetched

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.repo} at revision {self.revision}" if self.revision else self.repo

    def cached(self) -> Path | None:
        """Its folder in the hub's cache; None where it is not there, or not whole."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return Path(
                snapshot_download(
                    self.repo,
                    revision=self.revision,
                    allow_patterns=None if self.files is None else list(self.files),
                    local_files_only=True,
                )
            )
        except LocalEntryNotFoundError:
            return None

    def located(self) -> Path:
        """`cached`, or a `ModelError` that says where it was looked for and how to get it."""
        found = self.cached()
        if found is None:
            raise self.absent()
        return found

    def absent(self, why: str = "") -> ModelError:
        """The error of a model that is not in the cache. `why`: and is not fetched either."""
        from huggingface_hub import constants

        said = f"model {self.name} is not on this machine (looked in {constants.HF_HUB_CACHE})"
        return self._error(f"{said}{why}. {self.by_hand}")

    def fetch(self) -> Path:
        """Fetch it into the hub's cache. Raises `ModelError` with what to do where that fails."""
        from huggingface_hub import errors, snapshot_download, utils

        raised: Any = errors  # httpx's own among them
        bars: Any = utils
        quiet = bars.are_progress_bars_disabled()
        bars.disable_progress_bars()
        try:
            return Path(
                snapshot_download(
                    self.repo,
                    revision=self.revision,
                    allow_patterns=None if self.files is None else list(self.files),
                )
            )
        except raised.GatedRepoError as error:
            raise self._error(self._gated()) from error
        except raised.RepositoryNotFoundError as error:
            raise self._error(
                f"the hub has no model {self.repo}, or does not show it to you. Check the name; "
                f"for a private or gated one {self._token()}"
            ) from error
        except raised.RevisionNotFoundError as error:
            raise self._error(
                f"the hub's {self.repo} has no revision {self.revision or 'main'}; "
                f"https://hf.co/{self.repo}/commits/main lists them"
            ) from error
        except raised.HfHubHTTPError as error:
            status = error.response.status_code
            if status in (401, 403):
                said = f"the hub refused to give {self.repo} out ({status}): {self._token()}"
            else:
                said = f"the hub answered {status} when {self.repo} was to be fetched; try later"
            raise self._error(f"{said}. {self.by_hand}") from error
        except (raised.LocalEntryNotFoundError, raised.HTTPError, OSError) as error:
            why = type(error.__cause__ or error).__name__
            raise self._error(
                f"model {self.name} is not on this machine and cannot be fetched: the hub cannot "
                f"be reached, or the cache not written to ({why}). {self.by_hand}"
            ) from error
        finally:
            if not quiet:
                bars.enable_progress_bars()

    def _gated(self) -> str:
        steps = f"its conditions must be accepted at https://hf.co/{self.repo}"
        if has_token():
            return (
                f"{self.repo} is gated, and the account of this token has no access: {steps} by "
                "that account (some publishers also have to agree), or set HF_TOKEN to a token of "
                f"another one ({TOKENS})"
            )
        return (
            f"{self.repo} is gated, and there is no token: {steps}, then make a token at {TOKENS} "
            "and set HF_TOKEN to it"
        )

    def _token(self) -> str:
        if has_token():
            return f"the token in HF_TOKEN (or stored by `hf auth login`) is not accepted: {TOKENS}"
        return f"set HF_TOKEN to a token ({TOKENS})"

    def _error(self, message: str) -> ModelError:
        return ModelError(self.engine, message)


def has_token() -> bool:
    """Whether huggingface_hub has a token to send."""
    from huggingface_hub import get_token

    return get_token() is not None


def switched_off() -> bool:
    """Whether HF_HUB_OFFLINE forbids the hub."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())

"""Where things live below OUT. One function per name, so that a path is spelled once."""


def phase_folder(phase: str, key: str) -> str:
    """The folder of one phase under one key."""
    return f"{phase}/{key}"


def commits_folder(phase: str, key: str) -> str:
    return f"{phase}/{key}/commits"


def commit_name(phase: str, key: str, part: str) -> str:
    """The Parquet that *is* the commit of a part."""
    return f"{phase}/{key}/commits/{part}.parquet"


def manifests_folder(phase: str, key: str) -> str:
    return f"{phase}/{key}/manifests"


def tar_name(place: str, digest: str) -> str:
    """A tar of segments or of synthesized clips, named by its bytes.

    `place`: the key of hear, or the folder of another phase, as `synthesize/<key>`.
    """
    folder = place if "/" in place else phase_folder("hear", place)
    return f"{folder}/tars/{digest}.tar"


def attempt_name(phase: str, key: str, part: str, run: str, number: int) -> str:
    return f"{phase}/{key}/attempts/{part}.{run}.{number:04d}.json"


def attempts_folder(phase: str, key: str) -> str:
    return f"{phase}/{key}/attempts"


def locks_folder(phase: str, key: str) -> str:
    """Beside a composition, not in it: that folder is given away."""
    return f"compose/locks/{key}" if phase == "compose" else f"{phase}/{key}/locks"


def shard_entry_name(plan: str) -> str:
    """What a shard's content plan was written as: lets an unchanged shard be reused."""
    return f"compose/entries/{plan}.json"


def composition_folder(key: str) -> str:
    return f"compose/{key}"


def run_pointer(recipe: str) -> str:
    """The newest finished run of a recipe: its keys. The one file that is overwritten."""
    return f"runs/{recipe}.json"


def log_name(run: str) -> str:
    return f"logs/{run}.jsonl"

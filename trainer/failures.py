"""How a run fails for reasons that people can mend: one class per kind, with a message for them."""


class TrainingError(Exception):
    """A run cannot begin or go on; the message says why and what to do."""


class SetupError(TrainingError):
    """What was asked for cannot be done: nothing was started."""


class ChangedError(SetupError):
    """A run is resumed with settings that are not those it began with."""


class BusyError(TrainingError):
    """Another process trains in the same OUT."""


class CheckpointError(TrainingError):
    """A checkpoint cannot be written or read; the message says which, why and what to do."""


class DivergedError(TrainingError):
    """A step gave no finite numbers, or too large ones. No weight has seen them."""

    def __init__(self, step: int, documents: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.step, self.documents = step, documents

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.step, self.documents, str(self))

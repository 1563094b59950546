"""What people are told when an evaluation cannot be made as asked."""

from trainer.failures import SetupError


class EvaluationError(SetupError):
    """A set, a setting or a model does not fit; the message says where and what to do."""

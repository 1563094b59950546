"""What people are told when an evaluation cannot be made as asked."""


class EvaluationError(ValueError):
    """A set, a setting or a model does not fit; the message says where and what to do."""

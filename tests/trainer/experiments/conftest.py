"""Small shard sets, shared with the tests of the trainer's data."""

from tests.trainer.data.conftest import page_set, pages, talk_set, talks

__all__ = ["page_set", "pages", "talk_set", "talks"]

"""What kind of text a clip is, as one label: news, lecture, fiction and so on.

The default engine is marked `smoke`: it proves that the pipeline runs. For use, name a classifier
of your own (`engine: fasttext/FILE`) or a language model (`engine: endpoint`); the reference that
shares are compared with is labelled by the same engine. docs/coverage.md tells more.
"""

from typing import ClassVar, Literal

from transforms.engines.labelling import Labelling


class Domain(Labelling):
    """What kind of text a clip is: a label, how sure it is, and the quality of the engine."""

    task: ClassVar[Literal["topic", "domain"]] = "domain"

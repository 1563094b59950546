"""`croissant.json`: the shards as a machine-readable description, Croissant 1.0 (JSON-LD).

Each shard is a FileObject with its size and sha256; the documents inside are a FileSet of the JSON
members, with one record set over their fields. Names come from the summary, nothing is fetched.
"""

import json
from typing import Any

from pipeline.report import clean, figures
from pipeline.report.content import RunSummary, ShardRow
from pipeline.report.page import smoke_notice

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"

# The terms that the format's own context defines under `cr:` with their own names.
_TERMS = [
    "citeAs",
    "column",
    "extract",
    "field",
    "fileProperty",
    "fileObject",
    "fileSet",
    "format",
    "includes",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "separator",
    "source",
    "subField",
    "transform",
]
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_FIELDS = (
    ("id", "$.id", "The document's id, 32 hex digits."),
    ("stream", "$.stream", "The stream of the recipe that made it."),
    ("language", "$.language", "The language of its text."),
    ("licence", "$.licence", "The licence stated for its source."),
    ("source", "$.source", "Where its recording came from."),
)


def render_croissant(run: RunSummary) -> str:
    """The description as indented JSON; the same summary gives the same text."""
    names = sorted({clean.line(s.name) for s in run.licences if s.name})
    value: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": clean.line(run.name),
        "description": _description(run),
        "conformsTo": CONFORMS_TO,
        "license": names or ["unknown"],
        "inLanguage": sorted({clean.line(s.name) for s in run.languages if s.name}),
        "distribution": [_file(row) for row in run.shards] + _file_set(run),
        "recordSet": _record_sets(run),
        "rai:dataCollection": "Recordings cut into clips of one speaker, transcribed, filtered and "
        "composed into documents; the recipe, every step's losses and their reasons are in "
        "README.md.",
        "rai:dataLimitations": _limitations(run),
    }
    if run.created:
        value["datePublished"] = clean.line(run.created)
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _description(run: RunSummary) -> str:
    t = run.totals
    return (
        f"{t.documents} interleaved speech-text documents with {t.document_seconds / 3600:.3f} "
        f"hours of speech, curated from {t.recordings} recordings"
        f"{figures.pages(t)}. WebDataset shards of FLAC and JSON pairs."
    )


def _limitations(run: RunSummary) -> str:
    machine = "Text, speakers and word times are a machine's unless their quality is `given`."
    smoke = smoke_notice(run)
    return clean.line(f"{smoke} {machine}" if smoke else machine)


def _file(row: ShardRow) -> dict[str, Any]:
    path = clean.line(row.path)
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{row.size} B",
        "encodingFormat": "application/x-tar",
        "sha256": row.sha256,
        "description": f"stream {clean.line(row.stream)}, split {clean.line(row.split)}, "
        f"{row.documents} documents, {row.seconds:.3f} s",
    }


def _file_set(run: RunSummary) -> list[dict[str, Any]]:
    if not run.shards:
        return []
    return [
        {
            "@type": "cr:FileSet",
            "@id": "documents-json",
            "name": "documents-json",
            "description": "One JSON member per document.",
            "containedIn": [{"@id": clean.line(row.path)} for row in run.shards],
            "encodingFormat": "application/json",
            "includes": "*.json",
        }
    ]


def _record_sets(run: RunSummary) -> list[dict[str, Any]]:
    if not run.shards:
        return []
    return [
        {
            "@type": "cr:RecordSet",
            "@id": "documents",
            "name": "documents",
            "description": "The documents, one record each.",
            "field": [
                {
                    "@type": "cr:Field",
                    "@id": f"documents/{name}",
                    "name": name,
                    "description": words,
                    "dataType": "sc:Text",
                    "source": {
                        "fileSet": {"@id": "documents-json"},
                        "extract": {"jsonPath": path},
                    },
                }
                for name, path, words in _FIELDS
            ],
        }
    ]

"""`README.md` of an output: a data card that what the data is, how it was made, how to load it.

The YAML header is what data hubs read; every value in it is a quoted JSON scalar, because names
come from data and YAML would read `no` or `a: b` as something else. In the text, what comes from
data stands in code spans or escaped cells: it can be shown, not take part in the layout.
"""

import json
import re
from collections.abc import Iterable, Sequence

from pipeline.report import clean, figures, licences
from pipeline.report.content import FunnelRow, RunSummary, ShardRow, Share
from pipeline.report.page import smoke_notice

_SIZES = (
    (1e3, "n<1K"),
    (1e4, "1K<n<10K"),
    (1e5, "10K<n<100K"),
    (1e6, "100K<n<1M"),
    (1e7, "1M<n<10M"),
    (1e8, "10M<n<100M"),
    (1e9, "100M<n<1B"),
)
_LISTED = 200  # shards; beyond this the card points to the manifest


def render_card(run: RunSummary) -> str:
    """The data card as Markdown with a YAML header; the same summary gives the same text."""
    parts = [
        _header(run),
        f"# {text(run.name)}",
        _what(run),
        *[f"> **Warning.** {text(notice)}" for notice in _warnings(run)],
        "## Where everything went",
        "What came into each step, what left it and why. Hours add up at every step.",
        _funnel(run),
        "## What is in it",
        _contents(run),
        "## How to load it",
        *_loading(run),
        "## Known limits",
        _limits(run),
        "## How it was made",
        *_made(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def text(value: str) -> str:
    """`value` as plain words inside Markdown: nothing in it is a link, a tag or a heading."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~&$])", r"\\\1", clean.line(value))


def code(value: str) -> str:
    """`value` as a code span, also inside a table."""
    words = clean.line(value).replace("|", "¦")
    longest = max((len(run) for run in re.findall("`+", words)), default=0)
    ticks = "`" * (longest + 1)
    space = " " if longest or words.startswith("`") else ""
    return f"{ticks}{space}{words}{space}{ticks}" if words.strip() else "not given"


def fence(value: str, language: str) -> str:
    """`value` as a fenced block that its own backticks cannot close."""
    body = clean.block(value).rstrip("\n")
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{body}\n{ticks}"


def _header(run: RunSummary) -> str:
    lines = ["---", f"pretty_name: {_scalar(run.name)}"]
    lines += _licence_lines(run)
    codes = sorted({s.name.lower() for s in run.languages if re.fullmatch("[A-Za-z]{2,3}", s.name)})
    lines += _list("language", codes)
    tasks = ["text-generation"]
    if run.totals.document_seconds > 0:
        tasks = ["automatic-speech-recognition", "text-to-speech", *tasks]
    lines += _list("task_categories", tasks)
    size = next((name for most, name in _SIZES if run.totals.documents < most), "n>1B")
    lines += _list("size_categories", [size])
    lines += _list("tags", ["speech", "interleaved-speech-text", "webdataset", "speechloom"])
    lines += _configs(run.shards)
    return "\n".join([*lines, "---"])


def _licence_lines(run: RunSummary) -> list[str]:
    names = sorted({clean.line(share.name) for share in run.licences if share.name})
    known = {name: licences.identifier(name) for name in names}
    given = all(share.name for share in run.licences) and bool(names)
    if given and all(known.values()):
        return _list("license", sorted({str(value) for value in known.values()}))
    if not names:
        return ['license: "unknown"']
    words = ", ".join(names) + ("" if given else ", and not given for a part")
    return ['license: "other"', f"license_name: {_scalar(words)}"]


def _configs(shards: Sequence[ShardRow]) -> list[str]:
    """Which files are which split of which stream, so that loaders need no guess."""
    lines = ["configs:"] if shards else []
    for stream in sorted({row.stream for row in shards}):
        lines += [f"  - config_name: {_scalar(stream)}", "    data_files:"]
        for split in _splits(row for row in shards if row.stream == stream):
            lines += [f"      - split: {_scalar(split)}", "        path:"]
            lines += [f"          - {_scalar(path)}" for path in _paths(shards, stream, split)]
    return lines


def _paths(shards: Sequence[ShardRow], stream: str, split: str) -> list[str]:
    """One glob per folder where the globs take exactly these shards, else their names."""
    mine = sorted(row.path for row in shards if (row.stream, row.split) == (stream, split))
    others = (row.path for row in shards if (row.stream, row.split) != (stream, split))
    folders = {path.rpartition("/")[0] for path in mine}
    name = re.compile(re.escape(stream) + r"-[^/]*\.tar")

    def taken(path: str) -> bool:
        folder, _, last = path.rpartition("/")
        return folder in folders and name.fullmatch(last) is not None

    plain = re.fullmatch(r"[A-Za-z0-9_-]+", stream) is not None
    if not plain or not all(map(taken, mine)) or any(map(taken, others)):
        return mine
    return [f"{folder}/{stream}-*.tar".removeprefix("/") for folder in sorted(folders)]


def _splits(rows: Iterable[ShardRow]) -> list[str]:
    order = {"train": 0, "valid": 1, "validation": 1, "test": 2}
    names = {row.split for row in rows}
    return sorted(names, key=lambda name: (order.get(name, 3), name))


def _scalar(value: str) -> str:
    return json.dumps(clean.line(value), ensure_ascii=False)


def _list(key: str, values: Sequence[str]) -> list[str]:
    return [f"{key}:", *(f"  - {_scalar(value)}" for value in values)] if values else []


def _what(run: RunSummary) -> str:
    t = run.totals
    places = figures.hour_places(max(t.recorded_seconds, t.document_seconds))
    streams = f" in {len(run.streams)} streams" if len(run.streams) > 1 else ""
    return (
        f"{figures.count(t.documents)} interleaved speech-text documents{streams}, "
        f"{figures.hours(t.document_seconds, places)} hours of speech by "
        f"{figures.count(t.speakers)} speakers, made from {figures.count(t.recordings)} recordings "
        f"({figures.hours(t.recorded_seconds, places)} hours){figures.pages(t)}. A document is an "
        f"ordered list of chunks of one recording{' or page' if t.pages else ''}; each chunk has "
        "its audio and its text, so that every interleaving of the two can be drawn while "
        "training"
        f"{'; pages that were not spoken are text alone' if t.pages else ''}. "
        f"{figures.count(len(run.shards))} WebDataset tar shards, "
        f"{figures.size(sum(row.size for row in run.shards))}; listen and look in "
        "`report/index.html`."
    )


def _warnings(run: RunSummary) -> list[str]:
    smoke = smoke_notice(run)
    return ([smoke] if smoke else []) + list(run.notices)


def _funnel(run: RunSummary) -> str:
    most = max([s for r in run.funnel for s in (r.seconds_in, r.seconds_out) if s] + [0.0])
    places = figures.hour_places(most)
    lines = [
        "| phase | step | items in | items out | hours in | hours out | left, by reason |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for row in run.funnel:
        cells = [
            text(f"{row.phase} ({row.stream})" if row.stream else row.phase),
            text(row.step),
            f"{figures.count(row.items_in)} {text(row.noun_in)}",
            f"{figures.count(row.items_out)} {text(row.noun_out)}",
            figures.hours(row.seconds_in, places),
            figures.hours(row.seconds_out, places),
            _reasons(row, places),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    meanings = {d.reason: d.meaning for row in run.funnel for d in row.drops if d.meaning}
    if meanings:
        lines += ["", "The reasons:", ""]
        lines += [f"- {code(reason)}: {text(words)}" for reason, words in meanings.items()]
    return "\n".join(lines)


def _reasons(row: FunnelRow, places: int) -> str:
    return "<br>".join(
        f"{code(d.reason)} {figures.count(d.items)} ({figures.hours(d.seconds, places)} h)"
        for d in row.drops
        if d.items or d.seconds
    )


def _contents(run: RunSummary) -> str:
    tables = [
        _shares("split", run.splits, run),
        _shares("language", run.languages, run),
        _shares("licence", run.licences, run),
        _shares("text quality", run.qualities, run),
        _shares("speaker", run.speakers, run),
    ]
    return "\n\n".join(table for table in tables if table)


def _shares(noun: str, entries: Sequence[Share], run: RunSummary) -> str:
    if not entries:
        return ""
    ranked = sorted(entries, key=lambda s: (-s.seconds, -s.items, s.name))
    whole = sum(s.seconds for s in ranked)
    places = figures.hour_places(whole)
    shown = ranked[: run.limits.share_rows]
    lines = [f"| {noun} | clips | hours | share of hours |", "|---|--:|--:|--:|"]
    lines += [
        f"| {code(s.name)} | {figures.count(s.items)} | {figures.hours(s.seconds, places)} "
        f"| {figures.share(s.seconds, whole)} |"
        for s in shown
    ]
    if len(ranked) > len(shown):
        rest = ranked[len(shown) :]
        seconds = sum(s.seconds for s in rest)
        lines.append(
            f"| {figures.count(len(rest))} more | {figures.count(sum(s.items for s in rest))} "
            f"| {figures.hours(seconds, places)} | {figures.share(seconds, whole)} |"
        )
    return "\n".join(lines)


def _loading(run: RunSummary) -> list[str]:
    first = next((row for row in run.shards if row.seconds > 0), None)
    if first is None:
        return ["This output holds no shards with audio."]
    names = [r.path for r in run.shards if r.stream == first.stream and r.split == first.split]
    listed = json.dumps([clean.line(name) for name in sorted(names)[:4]], ensure_ascii=False)
    more = "" if len(names) <= 4 else "  # and the others, as manifest.json lists them"
    member = "flac" if run.audio else f"{run.tokens[0]}.npy"
    name = "flac" if run.audio else "tokens"
    hint = "  # flac: (samples, rate) or bytes" if run.audio else "  # an array"
    return [
        _members(run),
        fence(
            f"import webdataset as wds\n\nshards = {listed}{more}\n"
            "for sample in wds.WebDataset(shards, shardshuffle=False).decode():\n"
            f'    document, {name} = sample["json"], sample["{member}"]{hint}',
            "python",
        ),
        fence(
            "from datasets import Value, load_dataset\n\n"
            f'files = {{"data_files": {{"{_key(first.split)}": {listed}}},\n'
            f'         "split": "{_key(first.split)}", "streaming": True}}\n'
            'features = load_dataset("webdataset", **files).features\n'
            + (
                'features["flac"] = Value("binary")'
                "  # bytes; without this line it needs torchcodec\n"
                if run.audio
                else ""
            )
            + 'for sample in load_dataset("webdataset", features=features, **files):\n'
            f'    document, {name} = sample["json"], sample["{member}"]',
            "python",
        ),
        fence(
            f"import json, tarfile\n\nwith tarfile.open({_scalar(sorted(names)[0])}) as tar:\n"
            "    for member in tar:\n"
            '        if member.name.endswith(".json"):\n'
            "            document = json.load(tar.extractfile(member))",
            "python",
        ),
        "Before training, compare each shard's sha256 with `manifest.json` or `croissant.json`.",
    ]


def _members(run: RunSummary) -> str:
    held = ["`<key>.flac` holds its chunks' speech end to end"] if run.audio else []
    held += [f"`<key>.{name}.npy` its speech as units of that tokenizer" for name in run.tokens]
    return (
        f"Each sample is one document: {', '.join(held)}, "
        "`<key>.json` its chunks with start, end, text, speaker and words. "
        "Run these in this folder."
    )


def _key(split: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", split) or "train"


def _limits(run: RunSummary) -> str:
    lines = [
        "Texts, speakers, languages and word times are a machine's unless their quality is "
        "`given`; speakers found by a machine are told apart within one recording only.",
        "Licences are those stated for the sources; `not given` means that nobody stated one, "
        "not that there is none.",
        "Splits are drawn by hash over groups of recordings that share what the recipe's `split` "
        "names (by default a given speaker, a feed, or a cluster of near-duplicates that `dedup` "
        "found): a speaker who has no given name may stand in two splits.",
        "Shares and hours count kept clips, histograms in the report every clip that was judged; "
        "the funnel says what is missing and why.",
        "What became of every single clip, and of all that left before there were clips, stands "
        f"in {code('verdicts.parquet')} beside the report, which is not a part of this folder.",
    ]
    if run.smoke():
        lines.insert(0, "A part of the text is smoke quality (see the warning above).")
    return "\n".join(f"- {line}" for line in lines)


def _made(run: RunSummary) -> list[str]:
    parts = []
    if run.created:
        parts.append(f"Made on {text(run.created)}.")
    parts += ["The recipe, in full:", fence(run.recipe, "yaml")]
    rows = [("device class", run.device)] if run.device else []
    rows += list(run.versions)
    if rows:
        lines = ["| what | version |", "|---|---|"]
        parts.append("\n".join(lines + [f"| {text(n)} | {code(v)} |" for n, v in rows]))
    shown = run.shards[:_LISTED]
    if shown:
        lines = ["| shard | split | documents | bytes | sha256 |", "|---|---|--:|--:|---|"]
        lines += [
            f"| {code(r.path)} | {text(r.split)} | {figures.count(r.documents)} | "
            f"{figures.count(r.size)} | `{r.sha256}` |"
            for r in shown
        ]
        if len(run.shards) > len(shown):
            lines.append(f"| {len(run.shards) - len(shown)} more in manifest.json | | | | |")
        parts.append("\n".join(lines))
    return parts

"""The way of one item through the steps, in words: what it became, or what dropped it and why.

Each line is one fact of the commits. A drop says its step, its reason in code and in words, and its
score against the threshold; a list that would be long is cut, and says so.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.commits import Ledger, column
from pipeline.funnel import meaning
from pipeline.listed import Listed
from pipeline.lookup import Hit, part_of, path_of
from pipeline.phases.pages import clip_of
from pipeline.report import clean, figures
from pipeline.view import View
from schemas.records import Clip, Document, Drop, Segment

MANY = 20  # items of a list that are shown unless all are asked for
TEXT = 160  # columns of a transcript that are shown


class Walk:
    """Tells about items of one view."""

    def __init__(self, view: View, everything: bool = False):
        self.view = view
        self._most = 10**9 if everything else MANY

    def tell(self, hit: Hit) -> list[str]:
        """The lines about one item."""
        about = {
            "source": self._source,
            "recording": self._recording,
            "task": self._task,
            "segment": self._segment,
            "clip": self._clip,
            "document": self._document,
            "part": self._part,
            "file": self._file,
            "page": self._page,
        }[hit.kind]
        pointer = self.view.pointer
        lines = [
            f"{hit.kind} {hit.id}",
            f"recipe {pointer.name}, stream {self.view.stream}, run {pointer.run}",
            *about(hit.id),
        ]
        return [plain(line) for line in lines]

    # What each kind of item is told by.

    def _source(self, name: str) -> Iterator[str]:
        source = next(s for s in self.view.sources if s.id == name)
        if self.view.kind == "page" and source.recording:
            yield from self._file(source.recording)
            return
        yield "gather"
        yield from self._listed([source])
        if source.recording and source.task:
            yield from self._heard(source.recording)
            yield from self._annotated([source.task])

    def _recording(self, name: str) -> Iterator[str]:
        yield "gather"
        yield from self._listed([s for s in self.view.sources if s.recording == name])
        yield from self._claims(name)
        yield from self._heard(name)
        yield from self._annotated(
            sorted(task for task, recording in self.view.tasks.items() if recording == name)
        )

    def _task(self, name: str) -> Iterator[str]:
        yield "gather"
        yield from self._listed([s for s in self.view.sources if s.task == name])
        yield from self._heard(self.view.tasks[name])
        yield from self._annotated([name])

    def _file(self, name: str) -> Iterator[str]:
        """A file of pages, with what became of each page in it."""
        yield "gather"
        mine = [s for s in self.view.sources if s.recording == name]
        yield from self._listed(list({source.id: source for source in mine}.values()))
        yield from self._extracted(name)
        pages = sorted({source.task for source in mine if source.task})
        for page in pages[: self._most]:
            yield from self._became(page)
        yield from _more(len(pages) - self._most, "pages")

    def _page(self, name: str) -> Iterator[str]:
        yield "gather"
        mine = [s for s in self.view.sources if s.task == name]
        yield from self._listed(mine)
        for file in dict.fromkeys(source.recording for source in mine):
            if file:
                yield from self._extracted(file)
        yield from self._became(name)

    def _extracted(self, file: str) -> Iterator[str]:
        done = self.view.heard.done.get(file)
        if done is None:
            yield "extract: not done"
            return
        yield f"extract  (part {part_of(done)})"
        yield from self._steps(self.view.heard, file)

    def _became(self, name: str) -> Iterator[str]:
        """A page from its text on: judged, spoken, composed."""
        page = self.view.page(name)
        if page is None:
            yield f"page {name}: not there"
            return
        yield f"page {name}"
        said = f", language {page.language}" if page.language else ""
        yield f"  {len(page.text)} characters{said}, titled {_text(page.title)}: {_text(page.text)}"
        if self.view.keys.rows[0] == "extract":
            yield from self._annotated([name])
            return
        for column_name, value in self.view.scores(clip_of(page), before=True):
            yield f"  {column_name:<34} {figures.score(value)}"
        verdict = self.view.verdicts([name], before=True).get(name)
        if verdict is not None and not verdict["kept"]:
            yield "select, before it would be spoken"
            yield from _verdict(verdict)
            return
        if name not in self.view.annotated.done:
            yield "synthesize: not done"
            return
        yield from self._annotated([name])

    def _segment(self, name: str) -> Iterator[str]:
        recording, segment = self._find_segment(name)
        yield from self._origin(recording)
        yield "hear"
        for drop in self.view.drops(self.view.heard, recording):
            if drop.id == name:
                yield from self._dropped([drop])
        if segment is None:
            return
        yield f"  {_segment_line(segment)}"
        for task, held in sorted(self.view.tasks.items()):
            if held == recording:
                left = self.view.drops(self.view.annotated, task)
                yield "annotate"
                yield from self._dropped([drop for drop in left if drop.id == name])
                inside = [clip for clip in self.view.clips(task) if _overlap(clip, segment)]
                yield from self._clips(task, inside)

    def _clip(self, name: str) -> Iterator[str]:
        task, clip, drops = self._find_clip(name)
        recording = self.view.tasks[task]
        yield from self._origin(recording, task)
        yield from (
            self._heard(recording) if self.view.kind == "audio" else self._extracted(recording)
        )
        phase, noun = self._rows_of()
        yield f"{phase}  ({noun} {task}, part {part_of(self.view.annotated.done[task])})"
        yield from self._dropped(drops)
        if clip is None:
            return
        place = "channel" if self.view.kind == "audio" else "script"
        yield f"  clip {clip.index + 1} of its {noun}, {_span(clip)}, {place} {clip.channel}"
        for segment in self.view.segments(recording):
            if _overlap(clip, segment):
                yield f"  from {_segment_line(segment)}"
        given = "given" if clip.speaker_given else "by diarize"
        yield f"  speaker {clip.speaker} ({given})"
        for one in clip.transcripts:
            language = f", language {one.language}" if one.language else ""
            yield f"  {one.engine} ({one.quality}{language}): {_text(one.text)}"
        if not clip.transcripts:
            yield f"  text: {_text(clip.text)}"
        yield "measure"
        for column_name, value in self.view.scores(clip):
            yield f"  {column_name:<34} {figures.score(value)}"
        yield from self._judged(clip)

    def _document(self, name: str) -> Iterator[str]:
        document = self.view.document(name)
        if document is None:
            raise LookupError(name)
        if self.view.kind == "page":
            yield from self._origin(self.view.tasks[document.recording], document.recording)
        else:
            yield from self._origin(document.recording)
        yield "compose"
        yield from self._written(document)
        shown = document.chunks[: self._most]
        for chunk in shown:
            gap = f", {chunk.gap:.2f} s left out before it" if chunk.gap > 0 else ""
            yield (
                f"  {figures.clock(chunk.start)}-{figures.clock(chunk.end)} {chunk.speaker} "
                f"clip {chunk.clip}{gap}: {_text(chunk.text)}"
            )
        yield from _more(len(document.chunks) - len(shown), "chunks")

    def _part(self, name: str) -> Iterator[str]:
        view = self.view
        for phase, known in (
            (view.keys.opens[0], view.heard),
            (view.keys.rows[0], view.annotated),
            ("arrange", view.arranged),
        ):
            for commit in known.commits:
                if part_of(commit) == name:
                    yield phase
                    yield f"  committed as {view.store.where(commit)}"
                    ids = sorted(i for i, at in known.done.items() if at == commit)
                    seconds = sum(known.seconds[i] for i in ids)
                    yield f"  {len(ids)} records, {figures.seconds(seconds)} of audio came in"
                    rows = column(view.store, commit, "row").num_rows
                    reasons = Counter(column(view.store, commit, "drop")["reason"].to_pylist())
                    yield f"  {rows} rows came out"
                    yield from (f"  dropped {n} {reason}" for reason, n in sorted(reasons.items()))
                    yield from (f"  holds {one}" for one in ids[: self._most])
                    yield from _more(len(ids) - self._most, "records")

    # Pieces of the way.

    def _origin(self, recording: str, task: str | None = None) -> Iterator[str]:
        yield "gather"
        yield from self._listed(
            [
                source
                for source in self.view.sources
                if source.recording == recording and task in (None, source.task)
            ]
        )
        yield from self._claims(recording)

    def _listed(self, sources: Sequence[Listed]) -> Iterator[str]:
        for source in sources[: self._most]:
            place = f" ({source.provenance})" if source.provenance else ""
            yield f"  {path_of(source.uri)}{place}"
            said = {
                "licence": source.licence or "not given",
                "speaker": source.speaker,
                "language": source.language,
                "channel": source.channel,
            }
            yield "    " + ", ".join(f"{k} {v}" for k, v in said.items() if v is not None)
            if source.reason:
                detail = f" ({source.detail})" if source.detail else ""
                why = meaning("crawl", source.reason)
                yield f"    DROPPED by crawl: {source.reason}{detail}: {why}"
            elif source.recording:
                what = "file" if self.view.kind == "page" else "recording"
                yield f"    {what} {source.recording}"
        yield from _more(len(sources) - self._most, "sources")

    def _claims(self, recording: str) -> Iterator[str]:
        found = self.view.recording(recording)
        if found is not None and self.view.kind == "page":
            yield f"  {figures.size(found.size)}, taken for {found.container or 'a page'}"
        elif found is not None:
            length = figures.seconds(found.seconds) if found.seconds else "of unknown length"
            coded = f", {found.codec} in {found.container}" if found.codec else ""
            many = "channel" if found.channels == 1 else "channels"
            yield (
                f"  {figures.size(found.size)}, {length}, {found.rate} Hz, "
                f"{found.channels} {many}{coded} (by its header)"
            )

    def _heard(self, recording: str) -> Iterator[str]:
        name = self.view.heard.done.get(recording)
        if name is None:
            yield "hear: not done"
            return
        yield f"hear  (part {part_of(name)})"
        yield from self._steps(self.view.heard, recording)

    def _steps(self, known: Ledger, root: str) -> Iterator[str]:
        """Every step's tally, with what it dropped below it."""
        drops = self.view.drops(known, root)
        for tally in self.view.tallies(known, root):
            yield (
                f"  {tally.step:<12} {tally.items_in} in, {tally.items_out} out; "
                f"{tally.seconds_in:.3f} s in, {tally.seconds_out:.3f} s out"
            )
            yield from self._dropped([drop for drop in drops if drop.step == tally.step])
        steps = {tally.step for tally in self.view.tallies(known, root)}
        yield from self._dropped([drop for drop in drops if drop.step not in steps])

    def _dropped(self, drops: Sequence[Drop]) -> Iterator[str]:
        for drop in drops[: self._most]:
            where = ""
            if drop.start is not None and drop.end is not None:
                where = f" {figures.clock(drop.start)}-{figures.clock(drop.end)}"
            yield (
                f"    DROPPED by {drop.step}: {drop.reason}, {drop.seconds:.3f} s{where}"
                f"{_against(drop.score, drop.threshold)}{_detail(drop.detail)}"
            )
        for reason in dict.fromkeys((drop.step, drop.reason) for drop in drops):
            words = meaning(*reason)
            if words:
                yield f"      {reason[1]}: {words}"
        yield from _more(len(drops) - self._most, "drops")

    def _annotated(self, tasks: Sequence[str]) -> Iterator[str]:
        for task in tasks:
            name = self.view.annotated.done.get(task)
            if name is None and self.view.tasks.get(task) in self.view.heard.dead:
                continue
            phase, noun = self._rows_of()
            if name is None:
                yield f"{phase}: {noun} {task} is not done"
                continue
            if phase != "extract":
                yield f"{phase}  ({noun} {task}, part {part_of(name)})"
                yield from self._steps(self.view.annotated, task)
            yield from self._clips(task, self.view.clips(task))

    def _rows_of(self) -> tuple[str, str]:
        """The phase that makes the rows of this stream, and what it makes them of."""
        return self.view.keys.rows[0], "task" if self.view.kind == "audio" else "page"

    def _clips(self, task: str, clips: Sequence[Clip]) -> Iterator[str]:
        """One line per clip: what became of it."""
        verdicts = self.view.verdicts(clip.id for clip in clips)
        holder = {
            chunk.clip: document
            for document in self.view.documents(task)
            for chunk in document.chunks
        }
        if clips:
            yield "select and compose"
        documents = {holder[clip.id].id: holder[clip.id] for clip in clips if clip.id in holder}
        for clip in clips[: self._most]:
            yield f"  clip {clip.id} {_span(clip)} {clip.speaker}: {_text(clip.text)}"
            verdict = verdicts.get(clip.id)
            if verdict is None:
                yield "    not judged"
            elif not verdict["kept"]:
                yield from _verdict(verdict)
            elif clip.id in holder:
                yield f"    kept, {verdict['split']}, in document {holder[clip.id].id}"
            else:
                yield from self._uncomposed(task, clip)
        yield from _more(len(clips) - self._most, "clips")
        for document in list(documents.values())[: self._most]:
            yield from self._written(document)

    def _judged(self, clip: Clip) -> Iterator[str]:
        yield "select"
        for name, settings in self.view.steps("select"):
            if name == "filter":
                said = {k: v for k, v in settings.items() if v not in (None, False, "keep")}
                limits = ", ".join(f"{k} {_set(v)}" for k, v in said.items())
                yield f"  filter judges by {limits or 'nothing'}"
        verdict = self.view.verdicts([clip.id]).get(clip.id)
        if verdict is None:
            yield "  not judged"
            return
        if not verdict["kept"]:
            yield from _verdict(verdict)
            return
        yield f"  kept, split {verdict['split']}"
        if verdict["reason"] is not None:
            yield from _verdict(verdict, "would have been dropped")
        yield "compose"
        for document in self.view.documents(clip.task):
            places = [n for n, chunk in enumerate(document.chunks) if chunk.clip == clip.id]
            if places:
                yield from self._written(document)
                for place in places:
                    chunk = document.chunks[place]
                    yield (
                        f"  chunk {place + 1} of {len(document.chunks)}, "
                        f"{figures.clock(chunk.start)}-{figures.clock(chunk.end)} of the document"
                    )
                return
        yield from self._uncomposed(clip.task, clip)

    def _uncomposed(self, task: str, clip: Clip) -> Iterator[str]:
        left = [d for d in self.view.drops(self.view.arranged, task) if d.id == clip.id]
        yield from self._dropped(left)

    def _written(self, document: Document) -> Iterator[str]:
        yield (
            f"  document {document.id}: {document.split}, {len(document.chunks)} chunks, "
            f"{figures.seconds(document.seconds)}, licence {document.licence or 'not given'}, "
            f"source {path_of(document.source)}"
        )
        place = self.view.place(document)
        if place is None:
            yield "    in no shard with audio: text only"
            return
        row = place.row
        flac = f", FLAC at byte {row.flac_offset} ({row.flac_size} bytes)" if row.flac_size else ""
        yield f"    in {self.view.store.where(place.shard)}"
        yield f"    JSON at byte {row.json_offset} ({row.json_size} bytes){flac}"

    def _find_segment(self, name: str) -> tuple[str, Segment | None]:
        view = self.view
        recording = view.root_of(name, view.heard, view.recordings, "recording")
        found = [segment for segment in view.segments(recording) if segment.id == name]
        return recording, next(iter(found), None)

    def _find_clip(self, name: str) -> tuple[str, Clip | None, list[Drop]]:
        view = self.view
        task = view.root_of(name, view.annotated, view.tasks, "task")
        clip = next((clip for clip in view.clips(task) if clip.id == name), None)
        return task, clip, [d for d in view.drops(view.annotated, task) if d.id == name]


def plain(line: str) -> str:
    """A line that cannot drive a terminal."""
    return clean.line(line.replace(figures.NARROW, " ")).rstrip()


def _set(value: Any) -> Any:
    """A setting without what is not set inside it."""
    if isinstance(value, dict):
        return {key: _set(inner) for key, inner in value.items() if inner is not None}
    return [_set(inner) for inner in value] if isinstance(value, list) else value


def _verdict(verdict: dict[str, Any], became: str = "DROPPED") -> Iterator[str]:
    yield (
        f"    {became} by {verdict['step']}: {verdict['reason']}, {verdict['seconds']:.3f} s"
        f"{_against(verdict['score'], verdict['threshold'])}{_detail(verdict['detail'])}"
    )
    words = meaning(verdict["step"], verdict["reason"])
    if words:
        yield f"      {verdict['reason']}: {words}"


def _against(score: float | None, threshold: float | None) -> str:
    parts = []
    if score is not None:
        parts.append(f"score {figures.score(score)}")
    if threshold is not None:
        parts.append(f"threshold {figures.score(threshold)}")
    return f"; {', '.join(parts)}" if parts else ""


def _detail(detail: str | None) -> str:
    return f" ({detail})" if detail else ""


def _text(text: str) -> str:
    return f'"{clean.cut(clean.line(text), TEXT)}"'


def _span(clip: Clip | Segment) -> str:
    return f"{figures.clock(clip.start)}-{figures.clock(clip.end)}"


def _segment_line(segment: Segment) -> str:
    stored = ""
    if segment.audio is not None:
        ref = segment.audio
        stored = f", stored in tar {ref.tar[:12]} at byte {ref.offset} ({ref.size} bytes)"
    return (
        f"segment {segment.id}, {_span(segment)}, channel {segment.channel}, "
        f"{segment.speech_seconds:.2f} s of speech{stored}"
    )


def _overlap(clip: Clip, segment: Segment) -> bool:
    same = clip.recording == segment.recording and clip.channel == segment.channel
    return same and clip.start < segment.end and segment.start < clip.end


def _more(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield f"  ... and {count} more {what} (--all shows them)"

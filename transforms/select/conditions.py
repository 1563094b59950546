"""What `filter` judges: reason, setting and column of each condition, and the limits of `where`."""

from typing import Self

import pydantic

from transforms.select.predicates import Plain

# Reason, setting, column. The order is the order of judging.
CONDITIONS: tuple[tuple[str, str, str], ...] = (
    ("too_short", "min_seconds", "seconds"),
    ("too_long", "max_seconds", "seconds"),
    ("text_quality", "quality", "quality"),
    ("too_few_words", "min_words", "text_rate.words"),
    ("wrong_language", "language", "language.language"),
    ("language_uncertain", "min_language_probability", "language.probability"),
    ("too_noisy", "min_snr_db", "snr.snr_db"),
    ("clipped", "max_clipping", "clipping.clipped_share"),
    ("too_little_speech", "min_speech_ratio", "speech_ratio.ratio"),
    ("too_quiet", "min_loudness", "loudness.lufs"),
    ("too_loud", "max_loudness", "loudness.lufs"),
    ("words_too_fast", "max_words_per_second", "text_rate.words_per_second"),
    ("text_too_sparse", "min_chars_per_second", "text_rate.chars_per_second"),
    ("text_too_dense", "max_chars_per_second", "text_rate.chars_per_second"),
    ("text_repeats", "max_compression_ratio", "text_rate.compression_ratio"),
    ("text_loops", "max_loop_share", "repetition.loop_share"),
    ("text_without_speech", "max_letters_per_second", "coverage.letters_per_second"),
    ("speech_without_text", "min_letters_per_second", "coverage.letters_per_second"),
    ("words_outside_speech", "max_words_outside", "coverage.words_outside"),
    ("speech_uncovered", "min_speech_covered", "coverage.speech_covered"),
    ("boilerplate", "max_boilerplate", "boilerplate.unspoken"),
    ("no_speech", "max_no_speech", "confidence.no_speech"),
    ("text_unsure", "min_log_probability", "confidence.mean_log_probability"),
    ("words_unsure", "max_unsure_words", "confidence.unsure_share"),
    ("engines_disagree", "max_disagreement", "agreement.disagreement"),
    ("words_contested", "min_word_agreement", "agreement.word_agreement"),
    ("languages_disagree", "languages_agree", "language_agreement.agrees"),
    ("narrow_band", "min_bandwidth_hz", "bandwidth.hertz"),
    ("dc_offset", "max_dc_offset", "dc_offset.share"),
    ("music", "max_music", "music.music"),
    ("noise", "max_noise", "music.noise"),
    ("overlap", "max_overlap", "overlap.share"),
    ("poor_quality", "min_mos", "mos.mos"),
    ("gopher_rules", "gopher", "text_rules.gopher"),
    ("gopher_repetition", "gopher_repetition", "text_rules.gopher_repetition"),
    ("c4_rules", "c4", "text_rules.c4"),
    ("fineweb_rules", "fineweb", "text_rules.fineweb"),
    ("few_distinct_words", "min_lexical_diversity", "lexical.mattr"),
    ("unlikely_text", "max_perplexity", "perplexity.perplexity"),
    ("toxic", "max_toxic", "harm.toxic"),
    ("personal_data", "max_personal_data", "personal_data.total"),
)
MEANINGS = {
    "too_short": "The clip is shorter than `min_seconds`.",
    "too_long": "The clip is longer than `max_seconds`.",
    "text_quality": "The quality of the clip's text is not among `quality`.",
    "too_few_words": "The text has fewer words than `min_words`.",
    "wrong_language": "The language is not among `language`.",
    "language_uncertain": "The language is less probable than `min_language_probability`.",
    "too_noisy": "The signal-to-noise ratio is below `min_snr_db`.",
    "clipped": "More of the clip is clipped than `max_clipping`.",
    "too_little_speech": "Less of the clip is speech than `min_speech_ratio`.",
    "too_quiet": "The clip is quieter than `min_loudness`.",
    "too_loud": "The clip is louder than `max_loudness`.",
    "words_too_fast": "More words a second than `max_words_per_second`: text of other audio.",
    "text_too_sparse": "Fewer characters a second than `min_chars_per_second`.",
    "text_too_dense": "More characters a second than `max_chars_per_second`.",
    "text_repeats": "The text compresses better than `max_compression_ratio`: it loops.",
    "text_loops": "More of the text is inside loops than `max_loop_share`: the recognizer stuck.",
    "text_without_speech": "More letters per second of speech than `max_letters_per_second`: "
    "nobody said this.",
    "speech_without_text": "Fewer letters per second of speech than `min_letters_per_second`: "
    "words are missing.",
    "words_outside_speech": "More words lie outside speech than `max_words_outside`.",
    "speech_uncovered": "Words cover less of the speech than `min_speech_covered`.",
    "boilerplate": "More of the text is what is written on silence than `max_boilerplate`.",
    "no_speech": "The recognizer held it for no speech with more than `max_no_speech`.",
    "text_unsure": "The text's mean log probability is below `min_log_probability`.",
    "words_unsure": "More of the words are unsure than `max_unsure_words`.",
    "engines_disagree": "The engines disagree more than `max_disagreement`.",
    "words_contested": "The engines agree on the words less than `min_word_agreement`.",
    "languages_disagree": "The language that was heard is not that of the text.",
    "narrow_band": "The bandwidth is below `min_bandwidth_hz`.",
    "dc_offset": "The samples stand off zero by more than `max_dc_offset`.",
    "music": "More of the clip is music than `max_music`.",
    "noise": "More of the clip is steady noise than `max_noise`.",
    "overlap": "More of the clip is spoken by several at once than `max_overlap`.",
    "poor_quality": "The opinion score is below `min_mos`.",
    "gopher_rules": "The text breaks a quality rule of Gopher; `text_rules.failed` names it.",
    "gopher_repetition": "The text repeats itself by the rules of Gopher.",
    "c4_rules": "The text breaks a rule of C4; `text_rules.failed` names it.",
    "fineweb_rules": "The text breaks a rule of FineWeb; `text_rules.failed` names it.",
    "few_distinct_words": "The lexical diversity is below `min_lexical_diversity`.",
    "unlikely_text": "The language model is more surprised than `max_perplexity`.",
    "toxic": "The text is more toxic than `max_toxic`; topic alone is none.",
    "personal_data": "More personal data stands in the text than `max_personal_data`.",
    "where": "A condition of `where` on the column named in the detail.",
}


class Bounds(pydantic.BaseModel):
    """A condition of `where`: limits for a number, or lists for a value of any kind."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False
    )

    min: float | None = pydantic.Field(None, description="At least this (the column's unit)")
    max: float | None = pydantic.Field(None, description="At most this (the column's unit)")
    allow: list[Plain] | None = pydantic.Field(None, description="One of these values")
    deny: list[Plain] | None = pydantic.Field(None, description="None of these values")

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(getattr(self, name) is None for name in ("min", "max", "allow", "deny")):
            raise ValueError("a condition of where needs min, max, allow or deny")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}: every clip would leave")
        if self.allow == []:
            raise ValueError("allow is empty: every clip would leave; leave it out instead")
        return self

"""Harm apart from topic: the word lists with their context, and a classifier in the slot."""

import json
import math
import pathlib
import time

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_sound import RATE, make_clip, make_scope

from transforms.engines.harm import HARMS, SAFE, Judgement
from transforms.engines.harm_model import Classifier, judgement, meaning
from transforms.engines.harm_terms import DISTANT, TOPIC, TOXIC
from transforms.engines.harm_words import WordLists
from transforms.engines.models import ModelError
from transforms.measure.harm import Harm
from transforms.measure.wording import words_of


def levels(text: str, language: str | None = "en") -> dict[str, str]:
    found = WordLists().judge(text, language)
    return {harm: one.level for harm, one in found.items() if one.level != "safe"}


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("The ferry leaves at seven.", "en", {}),
        ("I will kill you, you hear me?", "en", {"hate_violence": "toxic"}),
        ("He said I will kill you, and the police came.", "en", {"hate_violence": "topical"}),
        ("Two men were killed in the shooting.", "en", {"hate_violence": "topical"}),
        ("Nobody should say they deserve to die.", "en", {"hate_violence": "topical"}),
        ("All of them are vermin.", "en", {"hate_violence": "toxic"}),
        ("Just kill yourself already.", "en",
         {"self_inflicted": "toxic", "hate_violence": "topical"}),
        ("If you think of suicide, call this hotline.", "en", {"self_inflicted": "topical"}),
        ("The novel is about a drug dealer.", "en", {"illegal": "topical"}),
        ("Buy cocaine online now!", "en", {"illegal": "toxic"}),
        ("A lesson about the nazis and their propaganda.", "en", {"ideological": "topical"}),
        ("Join the jihad!", "en", {"ideological": "toxic"}),
        ("Ich bringe dich um!", "de", {"hate_violence": "toxic"}),
        ("Man sollte sie erschießen, alle.", "de", {}),
        ("So jemanden SOLLTE MAN ERSCHIESSEN!", "de", {"hate_violence": "toxic"}),
        ("Er drohte: Ich bringe dich um.", "de", {"hate_violence": "topical"}),
        ("Te voy a matar.", "es-MX", {"hate_violence": "toxic"}),
        ("Je vais te tuer.", "fr", {"hate_violence": "toxic"}),
        ("Le tribunal a jugé un meurtre.", "fr", {"hate_violence": "topical"}),
    ],
)  # fmt: skip
def test_topic_is_no_harm_and_a_threat_is(
    text: str, language: str, expected: dict[str, str]
) -> None:
    found = levels(text, language)
    assert {harm: level for harm, level in found.items() if harm in expected} == expected
    assert all(level == "topical" for harm, level in found.items() if harm not in expected)


def test_an_unknown_language_is_judged_by_all_lists() -> None:
    assert levels("Je vais te tuer.", None) == {"hate_violence": "toxic"}
    assert levels("Je vais te tuer.", "xx") == {"hate_violence": "toxic"}
    assert "toxic" not in levels("Je vais te tuer.", "en").values()


def test_apostrophes_and_case_do_not_hide_a_phrase() -> None:
    assert levels("I\u2019LL KILL YOU!") == {"hate_violence": "toxic"}


def test_more_findings_are_more_toxic_and_stay_below_one() -> None:
    scores = [
        WordLists().judge("They are vermin. " * n, "en")["hate_violence"].toxic for n in range(4)
    ]
    assert scores == [0.0, 0.5, 0.75, 0.875]


def test_lists_are_spelt_as_words_are_counted() -> None:
    for lists in (TOXIC, TOPIC):
        assert set(lists) == set(HARMS)
        for harm in HARMS:
            assert set(lists[harm]) == set(DISTANT)
            for phrases in lists[harm].values():
                assert len(set(phrases)) == len(phrases)
                for phrase in phrases:
                    assert len(words_of(phrase)) == len(phrase.split()), phrase
                    assert not words_of(phrase)[-1].endswith("*")


def test_the_measure_says_worst_and_greatest() -> None:
    step = Harm()
    texts = ["Send nudes. Send nudes. Kill yourself.", "A murder trial in court.", " "]
    clips = [make_clip(n * RATE, n * RATE + RATE, text=text) for n, text in enumerate(texts)]
    scores = list(step(clips, step.load(), make_scope()))
    rows = [dict(zip(step.columns, one.values, strict=True)) for one in scores]
    assert (rows[0]["toxic"], rows[0]["worst"], rows[0]["sexual"]) == (0.75, "sexual", "toxic")
    assert (rows[0]["self_inflicted_toxic"], rows[0]["illegal"]) == (0.5, "safe")
    assert (rows[1]["toxic"], rows[1]["worst"]) == (0.0, None)
    assert rows[1]["topical"] == 0.5
    assert set(rows[2].values()) == {None}
    assert len(step.fingerprint()["terms"]) == 32


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=100))
def test_any_text_gets_a_judgement_for_every_harm(text: str) -> None:
    found = WordLists().judge(text, None)
    assert set(found) == set(HARMS)
    assert all(0 <= one.toxic < 1 and 0 <= one.topical < 1 for one in found.values())


def test_hostile_text_takes_linear_time() -> None:
    def spent(times: int) -> float:
        began = time.process_time()
        WordLists().judge("kill them kill violen said " * times, None)
        return time.process_time() - began

    spent(100)
    assert spent(8000) < 8 * 4 * max(spent(1000), 0.005)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("hate_violence:toxic", ("hate_violence", "toxic")),
        ("Hate-Violence_Topical", ("hate_violence", "topical")),
        ("safe self inflicted", ("self_inflicted", "safe")),
        ("toxic", None),
        ("LABEL_3", None),
        ("sexual:awful", None),
    ],
)
def test_labels_say_harm_and_level_however_they_are_spelt(
    label: str, expected: tuple[str, str] | None
) -> None:
    assert meaning(label) == expected


def test_levels_of_a_harm_are_set_against_each_other() -> None:
    found = judgement({"safe": 0.0, "topical": math.log(2), "toxic": 0.0})
    assert found == Judgement("topical", pytest.approx(0.25), pytest.approx(0.5))  # type: ignore[arg-type]
    assert judgement({"toxic": 0.0}).level == "toxic"
    assert judgement({"toxic": -1.0}) == Judgement("safe", pytest.approx(0.26894142), 0.0)  # type: ignore[arg-type]
    assert judgement({"safe": 1000.0, "toxic": -1000.0}) == SAFE
    assert judgement({"safe": 3.0}).level == "safe"


@pytest.mark.parametrize(
    "wrong",
    [
        {"engine": "nobody"},
        {"engine": "hf/"},
        {"labels": {"a": "sexual:toxic"}},
        {"engine": "hf/x", "labels": {"a": "sexual"}},
    ],
)
def test_settings_that_name_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Harm.model_validate(wrong)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A tiny classifier whose answer for 'bad' is known: its weights are set, not drawn."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    import torch

    path = tmp_path_factory.mktemp("harm")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "news"]
    table = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]")
    )
    table.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    table.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=table, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(path)  # fmt: skip
    labels = ["hate_violence:safe", "hate_violence:topical", "hate_violence:toxic", "other"]
    torch.manual_seed(0)
    network = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, max_position_embeddings=16,
            id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)},
        )
    )  # fmt: skip
    network.save_pretrained(path)
    return path


def test_a_classifier_judges_by_its_labels_alone_and_in_windows(folder: pathlib.Path) -> None:
    step = Harm(engine=f"hf/{folder}")
    engine = step.load()
    (found,) = engine.judge("bad news", "en").items()
    assert found[0] == "hate_violence"
    assert found[1].level in ("safe", "topical", "toxic")
    assert 0 < found[1].toxic < 1 and found[1].toxic + found[1].topical < 1
    assert engine.judge("bad news", "de") == engine.judge("bad news", "en")
    one = engine.judge("bad " * 14, None)["hate_violence"].toxic  # 16 positions less 2
    other = engine.judge("good " * 14, None)["hate_violence"].toxic
    both = engine.judge("good " * 14 + "bad " * 14, None)["hate_violence"].toxic
    assert both == max(one, other)
    assert engine.judge("", None) == {}
    assert engine.judge("\ud800", None) is not None
    assert set(step.fingerprint()) == {"files", "torch", "transformers"}


def test_labels_may_be_mapped_by_hand(folder: pathlib.Path) -> None:
    engine = Classifier(f"hf/{folder}", {"other": "sexual:toxic"})
    assert set(engine.judge("bad", None)) == {"hate_violence", "sexual"}
    with pytest.raises(ModelError, match="no label 'nothing'"):
        Classifier(f"hf/{folder}", {"nothing": "sexual:toxic"})


def test_a_folder_whose_labels_say_nothing_is_refused(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings_ = json.loads((tmp_path / "config.json").read_text())
    settings_["id2label"] = {str(n): f"LABEL_{n}" for n in range(4)}
    settings_["label2id"] = {f"LABEL_{n}": n for n in range(4)}
    (tmp_path / "config.json").write_text(json.dumps(settings_))
    with pytest.raises(ModelError, match="none of them names a harm"):
        Classifier(f"hf/{tmp_path}", {})
    with pytest.raises(ModelError, match="hf download"):
        Harm(engine="hf//nowhere").fingerprint()

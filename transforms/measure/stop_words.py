"""Words so common that a running text of some length holds several of them.

Gopher's eight for English (Rae et al. 2021, appendix A1.1); for other languages our own short
lists, of words that stand in most sentences, said or written. A language without a list is not
judged by stop words at all.
"""

STOP_WORDS: dict[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "ar": "في من على إلى أن هذا التي ما لا و",
        "cs": "a se na je v že to s z do",
        "da": "og er det at i en den til af på",
        "de": "der die und das in ist nicht zu den es ich",
        "en": "the be to of and that have with",
        "es": "de la que el en y los se no es un",
        "fa": "و در به از که این را با است",
        "fi": "ja on ei se että oli niin mutta hän",
        "fr": "de la le et les des est que un pas il",
        "he": "של את על לא זה הוא היא אני כל גם",
        "hi": "के है में की और को से का यह नहीं",
        "hu": "a az és hogy nem is egy van ez de",
        "id": "yang dan di itu dengan untuk tidak ini dari",
        "it": "di che e la il un non è per in",
        "nl": "de het een en van ik te dat is niet",
        "no": "og er det i en at til på som ikke",
        "pl": "i w nie na się to że z do jest",
        "pt": "de a o que e do da em um não é",
        "ro": "de și în la nu a cu pe este că",
        "ru": "и в не на я что с он как это",  # noqa: RUF001
        "sv": "och att det i som en på är av för",
        "tr": "bir ve bu da de için ne çok o var",
        "uk": "і в не на що я з це як до",  # noqa: RUF001
        "vi": "và của là có không được một cho người",
    }.items()
}

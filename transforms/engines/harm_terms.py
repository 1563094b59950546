"""Words of five harms in a few languages, our own short lists; `*` ends a word's beginning.

`TOXIC` holds what does harm by being said: threats, calls, offers, instructions. `TOPIC` holds what
a text is about, in news, lessons and advice as much as anywhere: alone it makes nothing toxic.
`DISTANT` holds what shows that somebody speaks *of* it (reports, warns, helps, quotes, denies).
Phrases are words as `words_of` gives them: no case, no marks at their ends. The lists are kept
small and free of slurs on purpose: a phrase that is missing goes unnoticed, and a word that has an
innocent meaning too would cost honest speech. A real classifier is one setting away.
"""

from typing import TypeAlias

Lists: TypeAlias = dict[str, dict[str, tuple[str, ...]]]

TOXIC: Lists = {
    "hate_violence": {
        "en": (
            "i will kill you", "i'm going to kill you", "i'll kill you", "should be exterminated",
            "should all be shot", "should all be killed", "deserve to die", "deserves to die",
            "are vermin", "are subhuman", "are not human", "kill them all", "gas them",
            "burn them alive", "beat her up", "go back to your country", "should be hanged",
        ),
        "de": (
            "ich bringe dich um", "ich töte dich", "gehören vergast", "gehört vergast",
            "sind untermenschen", "sind ungeziefer", "an die wand stellen", "sollte man erschießen",
            "sollen verrecken", "haben den tod verdient", "geht zurück in euer land",
        ),
        "es": (
            "te voy a matar", "os voy a matar", "merecen morir", "merece morir", "son alimañas",
            "hay que matarlos", "hay que exterminarlos", "no son humanos", "vuelve a tu país",
        ),
        "fr": (
            "je vais te tuer", "je vais vous tuer", "méritent de mourir", "mérite de mourir",
            "sont de la vermine", "il faut les exterminer", "il faut les tuer",
            "ne sont pas humains", "retourne dans ton pays",
        ),
    },
    "ideological": {
        "en": (
            "join our holy war", "the race war is coming", "start a race war", "white power",
            "join the jihad", "death to all infidels", "the great replacement is real",
            "take up arms against the government", "wipe them from the earth", "blood and soil",
        ),
        "de": (
            "sieg heil", "heil hitler", "blut und boden", "der rassenkrieg kommt",
            "schließt euch dem dschihad an", "tod den ungläubigen", "umvolkung stoppen",
        ),
        "es": (
            "muerte a los infieles", "únete a la yihad", "la guerra de razas viene",
            "poder blanco", "hay que tomar las armas contra el gobierno",
        ),
        "fr": (
            "mort aux infidèles", "rejoins le djihad", "la guerre des races arrive",
            "pouvoir blanc", "prenons les armes contre le gouvernement",
        ),
    },
    "sexual": {
        "en": (
            "send me nudes", "send nudes", "watch free porn", "hot xxx video*",
            "escorts in your area", "hot singles in your area",
        ),
        "de": ("schick mir nacktbilder", "gratis pornos", "heiße escorts in deiner nähe"),
        "es": ("mándame fotos desnuda", "porno gratis", "escorts en tu zona"),
        "fr": ("envoie moi des nudes", "porno gratuit", "escortes dans ta ville"),
    },
    "illegal": {
        "en": (
            "how to cook meth", "how to make a bomb", "how to build a pipe bomb",
            "buy cocaine online", "sell you cocaine", "stolen credit cards for sale",
            "fake passports for sale", "hire a hitman", "how to launder money",
            "steal a car without", "counterfeit bills for sale", "hack into her account",
        ),
        "de": (
            "wie man eine bombe baut", "kokain online kaufen",
            "gestohlene kreditkarten zu verkaufen", "falsche pässe zu verkaufen",
            "auftragskiller mieten", "falschgeld zu verkaufen",
        ),
        "es": (
            "cómo hacer una bomba", "comprar cocaína en línea", "tarjetas robadas en venta",
            "pasaportes falsos en venta", "contratar a un sicario",
        ),
        "fr": (
            "comment fabriquer une bombe", "acheter de la cocaïne en ligne",
            "cartes volées à vendre", "faux passeports à vendre", "engager un tueur à gages",
        ),
    },
    "self_inflicted": {
        "en": (
            "kill yourself", "you should end your life", "go hang yourself", "slit your wrists",
            "how to kill myself", "best way to kill yourself", "starve yourself",
            "nobody would miss you if you died", "drink bleach",
        ),
        "de": (
            "bring dich um", "häng dich auf", "schneid dir die pulsadern auf",
            "wie bringe ich mich um", "niemand würde dich vermissen",
        ),
        "es": ("mátate", "suicídate", "córtate las venas", "cómo suicidarme", "cuélgate ya"),
        "fr": (
            "tue toi", "suicide toi", "va te pendre", "ouvre toi les veines", "comment me suicider",
        ),
    },
}  # fmt: skip

TOPIC: Lists = {
    "hate_violence": {
        "en": (
            "murder*", "kill", "killed", "killing*", "rape*", "assault*", "genocide", "massacre*",
            "torture*", "racis*", "lynch*", "stabb*", "shooting", "hate crime*", "violen*",
        ),
        "de": ("mord", "ermordet*", "getötet", "vergewaltig*", "völkermord", "massaker", "folter*",
               "rassis*", "gewalttat*", "messerangriff*"),
        "es": ("asesin*", "matar", "mataron", "violación", "genocidio", "masacre*", "tortur*",
               "racis*", "apuñal*"),
        "fr": ("meurtr*", "assassin*", "tuer", "tué*", "viol", "génocide", "massacre*", "tortur*",
               "racis*", "poignard*"),
    },
    "ideological": {
        "en": ("terroris*", "extremis*", "jihad*", "nazi*", "fascis*", "supremacis*", "propaganda",
               "radicali*", "conspiracy theor*"),
        "de": ("terror*", "extremis*", "dschihad*", "nazi*", "faschis*", "propaganda",
               "radikalisier*", "verschwörungstheor*"),
        "es": ("terroris*", "extremis*", "yihad*", "nazi*", "fascis*", "propaganda", "radicaliz*"),
        "fr": ("terroris*", "extrémis*", "djihad*", "nazi*", "fascis*", "propagande", "radicalis*"),
    },
    "sexual": {
        "en": ("porn*", "prostitut*", "sex", "sexual*", "nude*", "sex work*", "erotic*"),
        "de": ("porno*", "prostitu*", "sex", "sexuell*", "nackt", "erotik", "erotisch*"),
        "es": ("porno*", "prostitu*", "sexo", "sexual*", "desnud*", "erótic*"),
        "fr": ("porno*", "prostitu*", "sexe", "sexuel*", "nue", "nues", "érotique*"),
    },
    "illegal": {
        "en": ("cocaine", "heroin", "meth", "fentanyl", "drug dealer*", "smuggl*", "traffick*",
               "money laundering", "counterfeit*", "burglar*", "bomb", "bombs", "fraud*"),
        "de": ("kokain", "heroin", "drogen*", "schmuggel*", "menschenhandel", "geldwäsche",
               "falschgeld", "einbrecher*", "bombe*", "betrug"),
        "es": ("cocaína", "heroína", "narco*", "contraband*", "trata", "blanqueo", "bomba*",
               "fraude*"),
        "fr": ("cocaïne", "héroïne", "drogue*", "contreband*", "trafic", "blanchiment", "bombe*",
               "fraude*"),
    },
    "self_inflicted": {
        "en": ("suicid*", "self-harm*", "self harm*", "anorexi*", "overdos*", "bulimi*"),
        "de": ("suizid*", "selbstmord*", "selbstverletz*", "magersucht", "überdosis"),
        "es": ("suicid*", "autolesi*", "anorexia", "sobredosis", "bulimia"),
        "fr": ("suicid*", "automutil*", "anorexi*", "surdose", "overdose", "boulimi*"),
    },
}  # fmt: skip

DISTANT: dict[str, tuple[str, ...]] = {
    "en": (
        "said", "says", "told", "wrote", "shouted", "threatened", "according", "reported", "report",
        "police", "court", "trial", "judge", "convicted", "charged", "sentenced", "accused",
        "arrested", "study", "research", "researchers", "law", "history", "historian", "hotline",
        "helpline", "help", "prevention", "prevent", "therapy", "doctor", "victim", "victims",
        "never", "not", "don't", "doesn't", "nobody", "wrong", "condemned", "slogan", "phrase",
        "novel", "film", "movie", "scene", "quote", "lyrics", "warn", "warning",
    ),
    "de": (
        "sagte", "sagt", "schrieb", "rief", "drohte", "laut", "berichtet", "bericht", "polizei",
        "gericht", "prozess", "verurteilt", "angeklagt", "festgenommen", "studie", "forschung",
        "gesetz", "geschichte", "hilfe", "beratung", "telefonseelsorge", "opfer", "nie", "nicht",
        "niemals", "kein", "verboten", "parole", "film", "roman", "zitat", "warnung",
    ),
    "es": (
        "dijo", "dice", "escribió", "gritó", "amenazó", "según", "informó", "informe", "policía",
        "tribunal", "juicio", "condenado", "acusado", "detenido", "estudio", "investigación", "ley",
        "historia", "ayuda", "prevención", "víctima", "víctimas", "nunca", "no", "película",
        "novela", "lema", "cita",
    ),
    "fr": (
        "dit", "disait", "écrit", "crié", "menacé", "selon", "rapporté", "rapport", "police",
        "tribunal", "procès", "condamné", "accusé", "arrêté", "étude", "recherche", "loi",
        "histoire", "aide", "prévention", "victime", "victimes", "jamais", "pas", "film", "roman",
        "slogan", "citation",
    ),
}  # fmt: skip

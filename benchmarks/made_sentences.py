"""English sentences of our own, drawn from frames and words: readable aloud, never the same twice.

Plain words that a pronouncing dictionary knows, so a recognizer can hear them; a number now and
then. The same arguments always make the same sentences.
"""

import random

_FRAMES = (
    "The {a} {n} near the {p} was {s} by the {w} in the {t}.",
    "In the {t} a {n} came to the {p}, and the {w} {d} it.",
    "Nobody in the {p} knew why the {w} had {s} the {a} {n}.",
    "It takes about {k} {u} to carry a {n} from the {p} to the {q}.",
    "When the {w} looked at the {a} {n}, it was already {t}.",
    "There are {k} kinds of {n} in the {p}, and each is {a}.",
)
_WORDS = {
    "a": "old small heavy quiet broken bright narrow cold simple green useful wooden",
    "n": "bridge boat letter window garden engine river table lamp horse road stone",
    "p": "village harbour market school valley forest station castle library field",
    "q": "mountain city island kitchen museum hospital farm church tower border",
    "s": "found painted repaired counted forgotten watched cleaned measured sold",
    "w": "teacher doctor farmer student captain baker woman painter driver neighbour",
    "t": "morning evening winter summer afternoon spring night autumn",
    "d": "followed noticed remembered described studied answered",
    "u": "minutes hours days weeks",
    "k": "two three five seven ten twelve twenty thirty",
}


def sentences(number: int, count: int) -> list[str]:
    """The `count` sentences of document `number`."""
    rng = random.Random(f"sentences/{number}")
    found = []
    for _ in range(count):
        words = {key: rng.choice(words.split()) for key, words in sorted(_WORDS.items())}
        found.append(rng.choice(_FRAMES).format(**words))
    return found

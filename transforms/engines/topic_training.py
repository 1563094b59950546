"""Train the small default of `topic` and `domain` on sentences made of our own words.

    python -m transforms.engines.topic_training > transforms/engines/topic_smoke.json

Every sentence is made here: a frame of ours, filled with words of ours. So the model may be used
for anything, and knows next to nothing: it proves that the pipeline runs, and its labels are
marked `smoke`. What it learns is a multinomial naive Bayes over single words (log probabilities,
add-one smoothing, rounded to thousandths); the same script makes the same bytes.
"""

import json
import math
import random
import sys
from collections import Counter

from transforms.measure.wording import words_of

SENTENCES = 600  # per label
SEED = 20

TOPICS = {
    "science_technology": "computer software robot experiment physics atom telescope planet energy "
    "battery laboratory molecule satellite algorithm data network chip scientist theory gravity "
    "machine engineer measurement microscope research internet code sensor rocket chemistry",
    "health": "doctor patient hospital medicine disease symptom vaccine surgery nurse therapy "
    "heart blood diet sleep pain treatment virus infection muscle clinic diagnosis anxiety "
    "exercise vitamin allergy pregnancy cancer brain fever headache",
    "education": "school teacher student classroom lesson university exam homework lecture grade "
    "textbook curriculum campus professor kindergarten tuition pupil diploma essay library learn "
    "reading mathematics course tutor seminar spelling assignment degree scholarship",
    "finance_business": "market stock investor bank loan profit company tax budget inflation "
    "interest dividend startup salary customer revenue mortgage trade currency insurance price "
    "accountant contract invoice shareholder merger economy debt sales manager",
    "entertainment": "movie film actor director album singer concert television series comedy "
    "theatre celebrity guitar band audience stage episode dance camera soundtrack fan drama "
    "premiere festival cartoon podcast musician lyrics trailer screen",
    "sports": "football goal coach player match league tournament basketball tennis stadium "
    "referee championship score season athlete marathon swimming cycling team defender striker "
    "racket medal penalty kick baseball cricket sprint training hockey",
    "religion": "church prayer god faith bible sermon priest temple mosque scripture holy worship "
    "soul blessing gospel monk rabbi imam pilgrimage angel heaven sin grace prophet altar psalm "
    "congregation spirit choir baptism",
    "social_life": "friend family wedding birthday marriage mother father neighbour party dating "
    "husband wife baby cousin grandmother love conversation relationship divorce children parents "
    "brother sister holiday reunion gift childhood roommate engagement guest",
    "politics_law": "election parliament senator vote government minister law court judge treaty "
    "constitution campaign policy president lawyer police crime jury refugee embassy protest "
    "legislation party ballot sentence prosecutor republic democracy border verdict",
    "food": "recipe oven flour butter sugar salt pepper onion garlic soup bread cheese kitchen "
    "restaurant chef dessert chicken sauce vegetable rice noodles wine coffee breakfast dinner "
    "spoon taste fry bake dough",
    "travel": "airport flight hotel passport luggage beach island train tourist museum mountain "
    "hike map ticket journey visa cruise village guide souvenir backpack camping station bus "
    "landscape destination suitcase harbour border itinerary",
    "home_hobbies": "garden plant paint furniture hammer wood knitting sewing roof lamp carpet dog "
    "cat puppy tomato seeds shelf bicycle fishing chess puzzle pottery drill screw wallpaper "
    "kitten aquarium needle fabric lawn",
}
TOPIC_FRAMES = (
    "today we talk about the {a} and the {b}",
    "i never understood why the {a} needs a {b}",
    "if you look at the {a} you will find a {b} and some {c}",
    "the {a} was close to the {b} before the {c} came",
    "most people think that {a} and {b} are the same",
    "we were told to bring the {a} with the {b}",
    "she asked me about {a} and i said something about {b} and {c}",
    "there is a new {a} for every {b}",
)

DOMAINS = {
    "news": (
        "reporters in the capital say that officials confirmed the {w} on monday",
        "according to a spokesperson the {w} was announced this morning",
        "this is the evening bulletin with headlines about the {w}",
        "authorities reported that several witnesses saw the {w} on tuesday",
    ),
    "lecture": (
        "in this chapter we define the {w} and then derive an example",
        "let us recall the definition of the {w} from the previous lecture",
        "the second slide shows a diagram of the {w} and its properties",
        "as an exercise prove that the {w} follows from the theorem",
    ),
    "conversation": (
        "yeah i mean you know i kind of like the {w} honestly",
        "oh really wow so what did you do about the {w} then",
        "hmm okay right well i guess the {w} is fine for me",
        "haha no way are you serious about the {w} dude",
    ),
    "fiction": (
        "once upon a time the old king whispered to the {w} in the dark forest",
        "she trembled as the {w} vanished behind the castle gate she murmured",
        "the stranger drew his sword and gazed upon the {w} in silence",
        "long ago a lonely girl dreamed of a {w} beneath the moonlight he sighed",
    ),
    "advertising": (
        "order your {w} now and save fifty percent with this exclusive offer",
        "visit our website today for a free {w} while supplies last",
        "buy one {w} and get another for free subscribe with the discount code",
        "our sponsor offers the best {w} with free shipping sign up now",
    ),
    "instructions": (
        "first turn the {w} clockwise then press the button and wait",
        "step two attach the {w} carefully and tighten it",
        "make sure to remove the {w} before you begin then repeat",
        "next insert the {w} slowly until it clicks into place and check it",
    ),
}


def topic_sentences(label: str, chance: random.Random, count: int) -> list[str]:
    """Made sentences about one topic."""
    words = TOPICS[label].split()
    return [
        chance.choice(TOPIC_FRAMES).format(**dict(zip("abc", chance.sample(words, 3), strict=True)))
        for _ in range(count)
    ]


def domain_sentences(label: str, chance: random.Random, count: int) -> list[str]:
    """Made sentences of one domain, about anything."""
    words = [word for one in sorted(TOPICS) for word in TOPICS[one].split()]
    return [chance.choice(DOMAINS[label]).format(w=chance.choice(words)) for _ in range(count)]


def trained(texts: dict[str, list[str]]) -> dict[str, object]:
    """Naive Bayes: per word that tells labels apart, a log probability for each label."""
    counts = {
        label: Counter(w for t in found for w in words_of(t)) for label, found in texts.items()
    }
    labels = sorted(counts)
    vocabulary = sorted({word for found in counts.values() for word in found})
    totals = {label: sum(counts[label].values()) + len(vocabulary) for label in labels}
    words = {}
    for word in vocabulary:
        row = [math.log((counts[label][word] + 1) / totals[label]) for label in labels]
        if max(row) - min(row) > 1.0:  # words of all labels alike say nothing
            words[word] = [round(number, 3) for number in row]
    return {"labels": labels, "words": words}


def models() -> dict[str, object]:
    """Both models, as they stand in the file."""
    chance = random.Random(SEED)
    topics = {label: topic_sentences(label, chance, SENTENCES) for label in sorted(TOPICS)}
    domains = {label: domain_sentences(label, chance, SENTENCES) for label in sorted(DOMAINS)}
    return {"format": 1, "topic": trained(topics), "domain": trained(domains)}


def text() -> str:
    """The file: one word per line, so that a change can be read."""
    return json.dumps(models(), indent=None, sort_keys=True).replace("], ", "],\n") + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())

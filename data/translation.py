"""Write pairs of sentences, English and German, with numbers, dates and times in words: a small task for a translator.

    python data/translation.py FOLDER       writes train.tsv, dev.tsv, test.tsv and long.tsv there

The words change places on the way: "twenty-one" is "einundzwanzig", "twenty-five past three" is "fünf vor halb vier",
and a German verb goes to the end. Each file has a header, `source` and `target`, and the same rows on every machine.
Files of these names are replaced.

All numbers from 21, days, years and times of a row in dev.tsv are held out: train.tsv has none of them. The same goes
for test.tsv, and dev.tsv and test.tsv share none. These three hold sentences of up to 18 English words. long.tsv has
the values of test.tsv, in longer sentences than any that were learnt from.
"""

import argparse
import random
import zlib
from pathlib import Path

ROWS = {"train": 40_000, "dev": 1000, "test": 1000, "long": 500}
SMALL = 20  # the last number that no file holds out
LONGEST = 18  # English words of a sentence, but in long.tsv
SEED = 20

ENGLISH = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
ENGLISH = [*ENGLISH.split(), "seventeen", "eighteen", "nineteen"]
ENGLISH_TENS = ["-", "-", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
GERMAN = "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn"
GERMAN = [*GERMAN.split(), "siebzehn", "achtzehn", "neunzehn"]
GERMAN_TENS = ["-", "-", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]
ENGLISH_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"}
ENGLISH_ORDINALS |= {"nine": "ninth", "twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth"}
GERMAN_ORDINALS = {1: "erste", 3: "dritte", 7: "siebte", 8: "achte"}

DAYS = [
    *(("Monday", "Montag"), ("Tuesday", "Dienstag"), ("Wednesday", "Mittwoch"), ("Thursday", "Donnerstag")),
    *(("Friday", "Freitag"), ("Saturday", "Samstag"), ("Sunday", "Sonntag")),
]
MONTHS = [
    *(("January", "Januar"), ("February", "Februar"), ("March", "März"), ("April", "April"), ("May", "Mai")),
    *(("June", "Juni"), ("July", "Juli"), ("August", "August"), ("September", "September"), ("October", "Oktober")),
    *(("November", "November"), ("December", "Dezember")),
]
LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MINUTES = {  # English; German; what is added to the hour in each
    0: ("{} o'clock", "{} Uhr", 0, 0),
    5: ("five past {}", "fünf nach {}", 0, 0),
    10: ("ten past {}", "zehn nach {}", 0, 0),
    15: ("a quarter past {}", "Viertel nach {}", 0, 0),
    20: ("twenty past {}", "zwanzig nach {}", 0, 0),
    25: ("twenty-five past {}", "fünf vor halb {}", 0, 1),
    30: ("half past {}", "halb {}", 0, 1),
    35: ("twenty-five to {}", "fünf nach halb {}", 1, 1),
    40: ("twenty to {}", "zwanzig vor {}", 1, 1),
    45: ("a quarter to {}", "Viertel vor {}", 1, 1),
    50: ("ten to {}", "zehn vor {}", 1, 1),
    55: ("five to {}", "fünf vor {}", 1, 1),
}
# English; German; the forms of haben, sein, werden (also for the passive in the past)
FIRST, ONE, MANY = (
    ("habe", "bin", "werde", "wurde"),
    ("hat", "ist", "wird", "wurde"),
    ("haben", "sind", "werden", "wurden"),
)
PEOPLE = [
    *(("I", "ich", FIRST), ("he", "er", ONE), ("she", "sie", ONE), ("we", "wir", MANY), ("they", "sie", MANY)),
    *(("the teacher", "der Lehrer", ONE), ("my sister", "meine Schwester", ONE), ("her brother", "ihr Bruder", ONE)),
    *(("the children", "die Kinder", MANY), ("our neighbours", "unsere Nachbarn", MANY)),
]
VERBS = [  # past; infinitive; German participle; infinitive
    *(("bought", "buy", "gekauft", "kaufen"), ("sold", "sell", "verkauft", "verkaufen")),
    *(("counted", "count", "gezählt", "zählen"), ("found", "find", "gefunden", "finden")),
    *(("lost", "lose", "verloren", "verlieren"), ("ordered", "order", "bestellt", "bestellen")),
    *(("sent", "send", "geschickt", "schicken"), ("saw", "see", "gesehen", "sehen")),
]
WAYS = [
    *(("arrived", "arrive", "angekommen", "ankommen"), ("left", "leave", "abgefahren", "abfahren")),
    *(("came back", "come back", "zurückgekommen", "zurückkommen"), ("got up", "get up", "aufgestanden", "aufstehen")),
]
THINGS = [
    *(("books", "Bücher"), ("letters", "Briefe"), ("stamps", "Briefmarken"), ("tickets", "Fahrkarten")),
    *(("apples", "Äpfel"), ("birds", "Vögel"), ("chairs", "Stühle"), ("cups", "Tassen"), ("bottles", "Flaschen")),
    *(("pictures", "Bilder"), ("keys", "Schlüssel"), ("bicycles", "Fahrräder"), ("ships", "Schiffe"), ("eggs", "Eier")),
]
GOODS = [
    *(("the house", "das Haus"), ("the boat", "das Boot"), ("the garden", "der Garten"), ("the bridge", "die Brücke")),
    *(("this painting", "dieses Gemälde"), ("the machine", "die Maschine"), ("the journey", "die Reise")),
]


def english(n):
    """345678 -> 'three hundred and forty-five thousand six hundred and seventy-eight'"""
    if n >= 1000:
        rest = n % 1000
        return f"{english(n // 1000)} thousand" + (rest > 0) * f"{' and' * (rest < 100)} {english(rest)}"
    if n >= 100:
        return f"{ENGLISH[n // 100]} hundred" + (n % 100 > 0) * f" and {english(n % 100)}"
    return ENGLISH[n] if n < 20 else ENGLISH_TENS[n // 10] + (n % 10 > 0) * f"-{ENGLISH[n % 10]}"


def german(n, last="eins"):
    """345678 -> 'dreihundertfünfundvierzigtausendsechshundertachtundsiebzig'; last: 1 at the end"""
    if n >= 1000:
        return f"{german(n // 1000, 'ein')}tausend" + (n % 1000 > 0) * german(n % 1000, last)
    if n >= 100:
        return f"{german(n // 100, 'ein')}hundert" + (n % 100 > 0) * german(n % 100, last)
    if n >= 20:
        return (n % 10 > 0) * f"{german(n % 10, 'ein')}und" + GERMAN_TENS[n // 10]
    return last if n == 1 else GERMAN[n]


def english_ordinal(n):
    """21 -> 'twenty-first'"""
    *tens, word = english(n).split("-")
    return "-".join([*tens, ENGLISH_ORDINALS.get(word, f"{word}th")])


def german_ordinal(n):
    """21 -> 'einundzwanzigste'"""
    return GERMAN_ORDINALS.get(n, german(n) + ("te" if n < 20 else "ste"))


def english_year(n):
    """1905 -> 'nineteen oh five', 2006 -> 'two thousand and six', 2026 -> 'twenty twenty-six'"""
    if 2000 <= n < 2010:
        return english(n)
    rest = n % 100
    return f"{english(n // 100)} {'hundred' if rest == 0 else f'oh {english(rest)}' if rest < 10 else english(rest)}"


def german_year(n):
    """1984 -> 'neunzehnhundertvierundachtzig'"""
    return german(n) if n >= 2000 else f"{german(n // 100)}hundert" + (n % 100 > 0) * german(n % 100)


def part_of(kind, value):
    """The part whose rows may hold a number, which may be a year, a day or a time."""
    if kind == "number" and value <= SMALL:
        return "train"
    return {0: "test", 1: "dev"}.get(zlib.crc32(f"{kind} {value}".encode()) % 10, "train")


class Writer:
    """Draws sentences for one part.

    part    "train", "dev" or "test"
    rng     random.Random
    values  in the last sentence: their number
    """

    def __init__(self, part, rng):
        self.part, self.rng, self.choice, self.values = part, rng, rng.choice, 0

    def value(self, kind, draw):
        """A drawn value that belongs to this part."""
        self.values += 1
        while part_of(kind, value := draw()) != self.part:
            pass
        return value

    def number(self, most=6):
        """From 2, of as many digits as often as of others."""
        n = self.value("number", lambda: self.rng.randrange(2, 10 ** self.rng.randint(1, most)))
        return english(n), german(n)

    def day(self):
        """A day of a month."""

        def draw():
            month = self.rng.randrange(12)
            return self.rng.randint(1, LENGTHS[month]), month

        n, month = self.value("day", draw)
        name, monat = MONTHS[month]
        return f"the {english_ordinal(n)} of {name}", f"{german_ordinal(n)}{{}} {monat}"

    def year(self):
        n = self.value("number", lambda: self.rng.randrange(1900, 2100))
        return english_year(n), german_year(n)

    def date(self):
        """When, as in 'on Monday': the day of the week, the date, both, or the date with its year."""
        name, tag = self.choice(DAYS)
        form = self.rng.randrange(4)
        if form == 0:
            return f"on {name}", f"am {tag}"
        day, dative = self.day()
        dative = dative.format("n")
        if form == 1:
            return f"on {day}", f"am {dative}"
        if form == 2:
            return f"on {name} {day}", f"am {tag}, dem {dative},"
        year, jahr = self.year()
        return f"on {day} {year}", f"am {dative} {jahr}"

    def time(self, at="", um=""):
        hour, minute = self.value("time", lambda: (self.rng.randrange(12), self.choice(list(MINUTES))))
        words, worte, add, plus = MINUTES[minute]
        stunde = GERMAN[(hour + plus - 1) % 12 + 1]
        stunde = "ein" if minute == 0 and stunde == "eins" else stunde
        return at + words.format(ENGLISH[(hour + add - 1) % 12 + 1]), um + worte.format(stunde)

    def doing(self):
        """Somebody did something, or will do it: a verb at the end, and what stood after the object now before it."""
        (who, wer, (have, be, will, _)), future = self.choice(PEOPLE), self.rng.random() < 0.4
        moves = self.rng.random() < 0.3
        past, infinitive, partizip, infinitiv = self.choice(WAYS if moves else VERBS)
        verb, aux, end = (f"will {infinitive}", will, infinitiv) if future else (past, be if moves else have, partizip)
        what, was = "", ""
        if not moves:
            (number, zahl), (things, dinge) = self.number(), self.choice(THINGS)
            what, was = f"{number} {things}", f"{zahl} {dinge}"
        dated, timed = self.choice([(True, False), (False, True), (True, True)] + [(False, False)] * (not moves))
        day, tag = self.date() if dated else ("", "")
        clock, uhr = self.time("at ", "um ") if timed else ("", "")
        if dated and self.rng.random() < 0.3:  # the date first: then the German verb comes before who
            return [day + ",", who, verb, what, clock], [tag, aux, wer, uhr, was, end]
        return [who, verb, what, day, clock], [wer, aux, tag, uhr, was, end]

    def price(self):
        (what, was), (amount, betrag) = self.choice(GOODS), self.number()
        if self.rng.random() < 0.5:
            return [what, "will cost", amount, "euros"], [was, "wird", betrag, "Euro kosten"]
        return [what, "costs", amount, "euros"], [was, "kostet", betrag, "Euro"]

    def clock(self):
        words, worte = self.time()
        return ["it is", words], ["es ist", worte]

    def today(self):
        (day, tag), (when, wann) = self.day(), self.choice([("today", "heute"), ("tomorrow", "morgen")])
        return [when, "is", day], [wann, "ist der", tag.format("")]

    def birth(self):
        (who, wer, (*_, wurde)), (day, tag), (year, jahr) = self.choice(PEOPLE), self.day(), self.year()
        was = "was" if wurde == "wurde" else "were"
        return [who, was, "born on", day, year], [wer, wurde, "am", tag.format("n"), jahr, "geboren"]

    def pair(self):
        """An English sentence and its German translation."""
        self.values = 0
        kind = self.rng.choices((self.doing, self.price, self.clock, self.today, self.birth), (12, 4, 1, 1, 2))[0]
        return tuple(sentence(filter(None, words)) for words in kind())


def sentence(words):
    text = " ".join(words)
    return text[0].upper() + text[1:] + "."


def pairs(part):
    """The rows of a file, no English sentence twice. Outside train.tsv, each has a value that is held out."""
    writer, found = Writer("test" if part == "long" else part, random.Random(f"{SEED} {part}")), {}
    while len(found) < ROWS[part]:
        source, target = writer.pair()
        if (len(source.split()) > LONGEST) == (part == "long") and (writer.values or part == "train"):
            found.setdefault(source, target)
    return list(found.items())


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="made if it is not there")
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for part in ROWS:
        rows = [("source", "target"), *pairs(part)]
        (folder / f"{part}.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8", newline="\n")
        print(f"{folder / f'{part}.tsv'}: {len(rows) - 1} rows")


if __name__ == "__main__":
    main()

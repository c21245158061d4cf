#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the training corpus of the name tagger: generated sentences, WNUT 2017, prose without names.

  make_corpus.py lists.json REFERENCE/pii corpus.jsonl [--leave-out K/N]

Values come from @faker-js/faker (MIT) and from rules below; templates are own ones (templates.txt)
and those of the reference data's dev side with their values replaced. WNUT 2017 (CC BY 4.0) gives
people's real manner of writing. --leave-out drops every reference template whose number is K modulo
N, so that the rest can be scored on templates that were not trained on. Deterministic.
"""
import glob
import json
import os
import random
import re
import sys

R = random.Random(20261121)
WNUT_COPIES = 3
VALUES = None
KIND = {"PERSON": "PER", "STREET_ADDRESS": "LOC", "ADDRESS": "LOC", "GPE": "LOC", "LOCATION": "LOC",
        "ZIP_CODE": "LOC", "ORGANIZATION": "ORG"}
LATIN = re.compile(r"^[A-Za-z\u00c0-\u024f' .-]+$")


NOUNS = ("Data Health Energy Food Water Travel Media Home Design Digital Social Capital Research Public Open Market "
         "Education Property Security Mobile Cloud Finance Credit Legal Consumer Economic Consulting Farm Weather "
         "Garden Auto Marine Aviation Fashion Music Games Sports Science Bioscience Insights Analytics Partners "
         "Programming Discovery Explorer Innovation Planning Transport Lines Freight Records Studios Outdoor").split()
ACRONYMS = ("ASAP FAQ PDF HTML SSL UUID IBAN SWIFT BIC PIN ATM CEO CFO HR IT TV DVD USB CPU GPU API URL HTTP JSON XML SQL CSV "
            "OK FYI BTW LOL OMG IMO DIY ETA RSVP VAT ID SIM SMS GPS LED PC CD PS NB TBD TODO DNA MRI AM PM GMT UTC ISO "
            "ESMTP SSD RAM OAuth YAML REST PHP FTP UDP TCP VPN DNS SSH LTE OTP CVV KYC ROI KPI Q1 Q2 Q3 Q4").split()


class Maker:
    """New words in the manner of a list, from chains of three letters: names are an open class, and a
    word that no list has must be told by its looks and by what stands around it."""

    def __init__(self, names):
        self.chains, self.known = {}, set()
        for name in names:
            for word in re.split(r"[ '-]", name.lower()):
                if len(word) < 3:
                    continue
                self.known.add(word)
                word = "^^" + word + "$"
                for i in range(2, len(word)):
                    self.chains.setdefault(word[i - 2:i], []).append(word[i])

    def word(self):
        for _ in range(20):
            text = "^^"
            while len(text) < 16:
                letter = R.choice(self.chains[text[-2:]])
                if letter == "$":
                    break
                text += letter
            text = text[2:]
            if 4 <= len(text) <= 13 and text not in self.known:
                break
        return text[0].upper() + text[1:]


class Values:
    def __init__(self, path):
        lists = json.load(open(path, encoding="utf-8"))
        latin = lambda k: sorted(x for x in lists[k] if LATIN.match(x) and 1 < len(x) < 30)
        self.by_locale = {}
        for key in ("first", "last"):
            for name, locales in lists[key].items():
                if LATIN.match(name):
                    for locale in locales:
                        self.by_locale.setdefault(locale, {}).setdefault(key, []).append(name)
        self.locales = sorted(k for k, v in self.by_locale.items()
                              if len(v.get("first", [])) > 20 and len(v.get("last", [])) > 20)
        self.first, self.last = latin("first"), latin("last")
        self.city, self.country, self.state = latin("city"), latin("country"), latin("state")
        self.new_first, self.new_last, self.new_city = Maker(self.first), Maker(self.last), Maker(self.city)
        self.street_names = latin("street") + latin("street_suffix")
        self.english = [x for x in ("en_US", "en", "en_GB", "en_AU") if x in self.locales]

    def locale(self):
        return R.choice(self.english) if self.english and R.random() < .35 else R.choice(self.locales)

    def new_place(self):
        word = self.new_city.word()
        roll = R.random()
        if roll < .72:
            return word
        if roll < .84:
            return word + " " + R.choice("Creek Bay Hill Heights Springs Park Beach City Island Falls Valley Sul Mare Bains Alto".split())
        if roll < .94:
            return R.choice("Port,San,Santa,Saint,St.,North,South,New,Upper,Den,La,El,Le,Bad,Cite,Fort,Mount,Villa".split(",")) + " " + word
        return word + R.choice([" de ", "-", " am ", " sur ", " di ", "-"]) + self.new_city.word()

    def person(self, whole=None):
        pool = self.by_locale[self.locale()]
        first, last = R.choice(pool["first"]), R.choice(pool["last"])
        if R.random() < .2:
            first = self.new_first.word()
        if R.random() < .3:
            last = self.new_last.word()
        form = R.random() if whole is None else whole
        if form < .52:
            name = first + " " + last
        elif form < .62:
            name = "%s %s. %s" % (first, R.choice("ABCDEFGHJKLMNPRSTW"), last)
        elif form < .66:
            name = "%s %s %s" % (first, R.choice("ABCDEFGHJKLMNPRSTW"), last)
        elif form < .80:
            name = first
        elif form < .90:
            name = last
        elif form < .94:
            name = "%s %s %s" % (first, R.choice(["van", "de", "van der", "von", "di", "al", "el", "bin", "O'"]), last)
            name = name.replace("O' ", "O'")
        elif form < .97:
            name = "%s %s-%s" % (first, last, R.choice(pool["last"]))
        else:
            name = "%s %s %s" % (first, R.choice(pool["first"]), last)
        return self.case(name, .07, .03)

    def case(self, text, low, up):
        roll = R.random()
        return text.lower() if roll < low else text.upper() if roll < low + up else text

    def place(self):
        return self.new_place() if R.random() < .25 else R.choice(self.city)

    def gpe(self):
        roll = R.random()
        name = self.place() if roll < .6 else R.choice(self.country) if roll < .88 else R.choice(self.state)
        return self.case(name, .05, .08)

    def org(self):
        last = lambda: self.new_last.word() if R.random() < .3 else R.choice(self.by_locale[self.locale()]["last"])
        tech = lambda: "".join(R.choices("In Ex Per Pax Data Net Cyber Med Bio Geo Fin Trans Omni Infra Vita Lumi Quant Astro "
                                         "Clear Open Micro Inte Fact Ana".split(), k=1) +
                               R.choices("sint version ata lytica lius set bilt soft gen core wave tech vance logic trix ora nova ".split(" "), k=1))
        suffix = R.choice("Inc Inc. LLC Ltd Ltd. Corp Corporation Group GmbH AG PLC Holdings Company Co. Partners Associates "
                          "Systems Technologies Solutions Labs Industries Bank Insurance Foods Media Energy Motors Airlines "
                          "Markets Networks Ventures Capital Logistics".split())
        roll = R.random()
        if roll < .17:
            name = last() + " " + suffix
        elif roll < .24:
            name = last() + "-" + last()
        elif roll < .31:
            name = "%s, %s and %s" % (last(), last(), last())
        elif roll < .37:
            name = last() + R.choice([" and Sons", " & Sons", " and " + last(), " & " + last(), " Brothers"])
        elif roll < .40:
            name = R.choice([last, tech])() + " " + " ".join(R.sample(NOUNS, R.choice((1, 2, 2))))
        elif roll < .44:
            name = " ".join(R.sample(NOUNS, R.choice((2, 2, 3)))) + R.choice(["", "", " " + suffix])
        elif roll < .55:
            name = tech()
        elif roll < .66:
            name = (tech() if R.random() < .6 else self.new_last.word()) + " " + suffix
        elif roll < .71:
            name = R.choice(["University of %s", "%s University", "Bank of %s", "%s Hospital", "%s Airlines", "%s City Council",
                             "%s Football Club", "Museum of %s"]) % R.choice(self.city)
        elif roll < .74:
            name = "".join(R.choices("ABCDEFGHIKLMNOPRSTUVW", k=R.choice((2, 3, 3, 4)))) + R.choice(["", "", " Group", " Bank"])
        elif roll < .88:
            name = " ".join(R.choices("Blue Green First National United Global Royal Golden Silver Pacific Northern Southern Atlantic "
                                      "Pioneer Summit Liberty Heritage Premier Allied General Standard Modern Sunrise Evergreen".split(), k=1) +
                            R.choices("Bank Health Dynamics Foods Trust Insurance Telecom Electric Water Steel Paper Mills Stores Networks "
                                      "Pharmacy Logistics Airways Hotels Publishing Outfitters Markets Hathaway".split(), k=1))
        else:
            name = R.choice("Google Microsoft Amazon Apple IBM Intel Oracle Siemens Toyota Samsung Nestle Unilever Shell Pfizer Boeing "
                            "Airbus Sony Nokia Ericsson Volvo Bosch SAP Bayer Novartis HSBC Barclays Vodafone Netflix Spotify Uber "
                            "Airbnb Tesla Nvidia Cisco Dell Adobe Salesforce PayPal Visa Mastercard Walmart Target Costco Ikea Lego "
                            "Adidas Nike Reuters Bloomberg Deloitte KPMG Accenture McKinsey Citigroup UNICEF NASA FIFA".split())
            if R.random() < .2:
                name += " " + suffix
        return self.case(name, .02, .02)

    def street(self):
        roll = R.random()
        some = lambda: (self.new_last.word() if R.random() < .35 else R.choice(R.choice([self.last, self.first, self.city]))) + (
            " " + R.choice(self.last) if R.random() < .15 else "")
        if roll < .5:
            return "%s %s" % (some(),
                              R.choice("Street Road Avenue Lane Drive Court Boulevard Way Place Close St. Rd Ave Crescent Terrace Parade".split()))
        if roll < .7:
            return "%s %s" % (R.choice("Rue,rue,Via,Calle,C/,Rua,Avenue,avenue,boulevard,Boulevard,cours,quai,place,Avenida,Chemin,Piazza,Rua do,Rue de la,Postbox,Ul.,ul.,Paso,Untere,Alt,Grosse".split(",")), some())
        if roll < .85:
            return some().split(" ")[0] + R.choice(["strasse", "straat", "weg", "gatan", "vej", "katu", " utca", " u.", "gata", "laan", "tie", "plein", "hof", "gade", "vegen", "kade", "ring", "damm", "allee", "braut", " tér", " útja", " út"])
        return R.choice(self.street_names)

    def number(self, low=1, high=9999):
        return str(R.randint(low, high))

    def digits(self):
        """Numbers as they stand in logs, forms and tables."""
        sep = R.choice(["", " ", " ", "-", ".", "/"])
        return R.choice(["", "", "", "+", "#", "0"]) + sep.join(
            "".join(R.choices("0123456789", k=R.choice((1, 2, 2, 3, 4, 4, 5)))) for _ in range(R.choice((1, 1, 2, 3, 4, 5))))

    def hex(self):
        alphabet = R.choice(["0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "ABCDEF0123456789-"])
        return R.choice(["", "", "sk_", "AK", "0x", "key-"]) + "".join(R.choices(alphabet, k=R.randint(8, 40)))

    def mail(self):
        pool = self.by_locale[self.locale()]
        return (R.choice(pool["first"]) + R.choice([".", "", "_"]) + R.choice(pool["last"])).lower().replace(" ", "") + "@" + R.choice(
            ["example.org", "mail.com", "acme.net", "web.de"])

    def zip(self):
        return R.choice(["%05d" % R.randint(0, 99999), "%04d" % R.randint(1000, 9999),
                         "%s%d %d%s" % (R.choice(["SW", "N", "EC", "M"]), R.randint(1, 20), R.randint(1, 9), R.choice(["AA", "BX", "LT"])),
                         "%03d %02d" % (R.randint(100, 999), R.randint(0, 99))])

    def address(self):
        sep = R.choice([", ", "\n", "\n ", " ", ",\n"])
        flat = R.choice(["", "", sep + "Apt. " + self.number(1, 999), sep + "Suite " + self.number(1, 999), " Unit " + self.number(1, 99)])
        city = self.case(self.place(), .03, .25)
        country = self.case(R.choice(self.country), .05, .05)
        state = R.choice(["", "", sep + R.choice("CA NY TX WA QLD VIC CO GU RS NI OO nan MI".split())])
        code = self.zip()
        house = self.number() if R.random() < .6 else "%0*d" % (R.choice((2, 2, 3, 5)), R.randint(0, 99))
        if R.random() < .25:
            house += " " + self.number(1, 400)
        roll = R.random()
        if roll < .08:
            ship = R.choice(["USS", "USNS", "USNV", "USCGC", "HMS"]) + " " + R.choice([self.new_last.word(), R.choice(self.last)])
            return "%s%sFPO A%s %05d" % (ship, sep, R.choice("APE"), R.randint(1, 99999))
        if roll < .12:
            return R.choice(["PSC %d, Box %d%sAPO A%s %05d", "Unit %d Box %d%sDPO A%s %05d", "CMR %d, Box %d%sAPO A%s %05d"]) % (
                R.randint(1, 9999), R.randint(1, 9999), sep, R.choice("APE"), R.randint(1, 99999))
        if roll < .18:
            corner = "%s and %s" % (self.street() + R.choice(["", " " + self.number(1, 99)]), self.street() + R.choice(["", " " + self.number(1, 99)]))
            return R.choice(["the corner of ", "the corner of ", ""]) + corner
        if roll < .38:
            return house + " " + self.street() + flat
        if roll < .5:
            return self.street() + " " + house + flat
        if roll < .7:
            return house + R.choice(["", "", " " + self.number()]) + " " + self.street() + flat + sep + city + state + sep + country + " " + code
        if roll < .85:
            return self.street() + " " + self.number(1, 300) + flat + sep + code + " " + city + R.choice(["", sep + country])
        return house + " " + self.street() + flat + sep + city + R.choice([", " + R.choice("CA NY TX WA FL IL".split()), ""]) + " " + code

    def other(self, kind):
        if kind == "DATE_TIME":
            return R.choice(["%d" % R.randint(1950, 2025), "%d/%d/%d" % (R.randint(1, 12), R.randint(1, 28), R.randint(1940, 2025)),
                             "%04d-%02d-%02d" % (R.randint(1960, 2025), R.randint(1, 12), R.randint(1, 28)),
                             "%s %d, %d" % (R.choice("January February March April May June July August September October".split()), R.randint(1, 28), R.randint(1960, 2025))])
        if kind in ("AGE",):
            return self.number(1, 95)
        if kind in ("PHONE_NUMBER",):
            return "%03d-%03d-%04d" % (R.randint(200, 999), R.randint(200, 999), R.randint(0, 9999))
        if kind in ("TITLE", "PREFIX"):
            return R.choice("Dr.,Mr.,Mrs.,Ms.,Prof.,Sales Manager,Nurse,Software Engineer,Electrician,Teacher,Machine Operator,Data Analyst".split(","))
        if kind == "NRP":
            return R.choice("German French Spanish Italian Slovenian Norwegian Muslim Christian Jewish Democrat Republican Turkish Indian Chinese Mexican".split())
        return None


def fill(template, values):
    """'{person}' and so on -> (text, spans)."""
    out, spans, at = "", [], 0
    memory = {}
    for match in re.finditer(r"\{(\w+?)(\d?)\}", template):
        out += template[at:match.start()]
        at = match.end()
        key, number = match.group(1), match.group(2)
        name = key + number
        if number and name in memory:
            value = memory[name]
        else:
            value = {"person": values.person, "first": lambda: values.person(.7), "last": lambda: values.person(.85), "full": lambda: values.person(.1),
                     "gpe": values.gpe, "city": lambda: values.case(R.choice(values.city), .04, .04), "country": lambda: R.choice(values.country),
                     "org": values.org, "address": values.address, "street": values.street, "zip": values.zip,
                     "date": lambda: values.other("DATE_TIME"), "age": lambda: values.other("AGE"), "title": lambda: values.other("TITLE"),
                     "nrp": lambda: values.other("NRP"), "digits": values.digits, "hex": values.hex, "mail": values.mail, "phone": lambda: values.other("PHONE_NUMBER"), "number": values.number,
                     "acronym": lambda: R.choice(ACRONYMS)}[key]()
            memory[name] = value
        kind = {"person": "PER", "first": "PER", "last": "PER", "full": "PER", "gpe": "LOC", "city": "LOC", "country": "LOC", "address": "LOC",
                "street": "LOC", "org": "ORG"}.get(key)
        if kind:
            spans.append((len(out), len(out) + len(value), kind))
        out += value
    return out + template[at:], spans


def anywhere(values, vocabulary):
    """A name among random words: what it looks like has to do when the context is new."""
    words = lambda low, high: " ".join(R.choices(vocabulary, k=R.randint(low, high)))
    joints = "the a of in to and for with by from at on was is has had says said that near an as our his her".split()
    before = (words(1, 4) + " " + R.choice(joints) + " ") if R.random() < .8 else ""
    kind, value = R.choices([("PER", values.person()), ("LOC", values.gpe()), ("LOC", values.address()), ("ORG", values.org())],
                            weights=[50, 22, 8, 20])[0]
    after = R.choice([" ", "'s ", ", ", " " + R.choice(joints) + " ", ". ", "? ", " and "]) + words(0, 4)
    spans = [(len(before), len(before) + len(value), kind)]
    text = before + value + after
    if R.random() < .3:
        more = values.person() if kind != "ORG" else values.gpe()
        text += " " + R.choice(joints) + " "
        spans.append((len(text), len(text) + len(more), "PER" if kind != "ORG" else "LOC"))
        text += more
    text += R.choice([".", "", "!", "?"])
    if before and R.random() < .8:
        text = text[0].upper() + text[1:]
    return text, spans


def refill(row, values):
    """A reference row with every value replaced by another of its kind."""
    out, spans, at = "", [], 0
    memory = {}
    for span in sorted(row["spans"], key=lambda s: s["start"]):
        if span["start"] < at:
            continue
        out += row["text"][at:span["start"]]
        at = span["end"]
        kind, old = span["type"], span["value"]
        if (kind, old) not in memory:
            if kind == "PERSON":
                words = old.split()
                new = R.choice(["Dr.", "Mr.", "Mrs.", "Ms."]) if old.endswith(".") and len(words) == 1 else \
                    values.person(R.choice([.7, .85]) if len(words) == 1 else R.choice([.1, .1, .55, .92, .95]))
            elif kind in ("STREET_ADDRESS", "ADDRESS"):
                new = old if re.fullmatch(r"[\d ]+|Apt.*|Suite.*", old) and R.random() < .8 else values.address()
                if re.fullmatch(r"\d+", old):
                    new = values.number()
            elif kind in ("GPE", "LOCATION"):
                new = values.gpe()
            elif kind == "ZIP_CODE":
                new = values.zip()
            elif kind == "ORGANIZATION":
                new = values.org()
            else:
                new = values.other(kind) or old
            memory[kind, old] = new
        new = memory[kind, old]
        if kind in KIND:
            spans.append((len(out), len(out) + len(new), KIND[kind]))
        out += new
    return out + row["text"][at:], spans


def vary(text, spans):
    """Some rows without capitals, a few in capitals: people type as they like."""
    roll = R.random()
    other = text.lower() if roll < .08 else text.upper() if roll < .09 else text
    return (other, spans) if len(other) == len(text) else (text, spans)


def with_acronym(text, spans):
    """A word in capitals that is no name, between two words of the row."""
    places = [m.start() + 1 for m in re.finditer(r"[a-z,] [a-z]", text) if not any(a - 1 <= m.start() + 1 <= b + 1 for a, b, _ in spans)]
    if not places or R.random() > .18:
        return text, spans
    at = R.choice(places)
    word = " " + R.choice(ACRONYMS)
    move = lambda i: i + len(word) if i > at else i
    return text[:at] + word + text[at:], [(move(a), move(b), k) for a, b, k in spans]


def with_unknown(text, spans, values):
    """Words that no list has and that are no names: jargon, typing errors, identifiers."""
    places = [m.start() + 1 for m in re.finditer(r"[a-z,] [a-z]", text) if not any(a - 1 <= m.start() + 1 <= b + 1 for a, b, _ in spans)]
    if not places or R.random() > .25:
        return text, spans
    behind = [m.end() for m in re.finditer(r"\b(?:in|of|to|from|at|with|by|for|on|near|as|is|the|a|and) (?=[a-z])", text) if m.end() in places]
    for _ in range(R.choice((1, 1, 2, 3))):
        at = R.choice(behind if behind and R.random() < .6 else places)
        word = values.new_word.word()
        word = R.choice([word.lower(), word.lower(), word.lower() + values.new_word.word(), word + values.new_word.word(),
                         word.lower() + "_" + values.new_word.word().lower(), word.upper()])
        if text[at - 1:at] != " ":
            continue
        text = text[:at] + word + " " + text[at:]
        move = lambda i: i + len(word) + 1 if i >= at else i
        spans = [(move(a), move(b), k) for a, b, k in spans]
        places, behind = ([p if p < at else p + len(word) + 1 for p in those] for those in (places, behind))
    return text, spans


def renamed(row, values):
    """A post of WNUT with other people in it."""
    out, spans, at = "", [], 0
    kinds = {"person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG"}
    for span in sorted(row["spans"], key=lambda s: s["start"]):
        if span["start"] < at:
            continue
        old = row["text"][span["start"]:span["end"]]
        new = old
        if span["type"] == "person":
            new = values.person(.7 if " " not in old else .1)
            if old.islower():
                new = new.lower()
        elif span["type"] == "location" and " " not in old and R.random() < .4:
            new = values.gpe()
        out += row["text"][at:span["start"]]
        if span["type"] in kinds:
            spans.append((len(out), len(out) + len(new), kinds[span["type"]]))
        out += new
        at = span["end"]
    return out + row["text"][at:], spans


def to_bytes(text, spans):
    text, spans = vary(*with_unknown(*with_acronym(text, spans), VALUES))
    offset = lambda i: len(text[:i].encode())
    return {"text": text, "spans": [[offset(a), offset(b), k] for a, b, k in spans]}


def main():
    global VALUES
    VALUES = values = Values(sys.argv[1])
    reference = sys.argv[2]
    leave_out = None
    if len(sys.argv) > 5:
        leave_out = tuple(int(x) for x in sys.argv[5].split("/"))
    vocabulary = [w for w in open("/usr/share/dict/american-english-small", encoding="utf-8").read().split()
                  if w.islower() and w.isalpha() and len(w) < 10]
    values.new_word = Maker(vocabulary)
    rows = []
    here = os.path.dirname(os.path.abspath(__file__))
    own = [line.rstrip("\n").replace("\\n", "\n") for line in open(here + "/templates.txt", encoding="utf-8") if line.strip() and line[0] != "#"]
    for template in own:
        for _ in range(45):
            rows.append(to_bytes(*fill(template, values)))
    for name in ("synth_v2", "synth_large"):
        by_template = {}
        for line in open("%s/%s.jsonl" % (reference, name), encoding="utf-8"):
            row = json.loads(line)
            by_template.setdefault(row["template"], []).append(row)
        for template, members in sorted(by_template.items()):
            if leave_out and template % leave_out[1] == leave_out[0]:
                continue
            for _ in range(90 if name == "synth_v2" else 45):
                rows.append(to_bytes(*refill(R.choice(members), values)))
    for line in open(reference + "/wnut17_train.jsonl", encoding="utf-8"):
        row = json.loads(line)
        kinds = {"person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG"}
        spans = [[s["start_byte"], s["end_byte"], kinds[s["type"]]] for s in row["spans"] if s["type"] in kinds]
        text = row["text"]
        rows.append({"text": text, "spans": spans})
        if any(s["type"] in ("person", "location") for s in row["spans"]):
            rows += [to_bytes(*renamed(row, values)) for _ in range(WNUT_COPIES)]
    rows += [to_bytes(*anywhere(values, vocabulary)) for _ in range(6000)]
    docs = []
    for path in sorted(glob.glob("/usr/lib/python3*/[a-p]*.py") + glob.glob("/usr/lib/python3*/*/[a-p]*.py"))[:600]:
        for paragraph in re.findall(r'"""(.+?)"""', open(path, encoding="utf-8", errors="replace").read(), re.S):
            if 60 < len(paragraph) < 900 and not re.search(r"[Aa]uthor|Copyright|[Ww]ritten by|@|van Rossum", paragraph):
                docs.append(paragraph)
    R.shuffle(docs)
    rows += [to_bytes(text, []) for text in docs[:4000]]
    R.shuffle(rows)
    with open(sys.argv[3], "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(len(rows), "rows,", len(own), "own templates", file=sys.stderr)


main()

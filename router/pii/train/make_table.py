#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes ../name_table.inc, the word lists of the name tagger.

  npm pack @faker-js/faker@9 && tar xzf *.tgz && node dump_lists.mjs package lists.json
  make_table.py lists.json /usr/share/dict/american-english > ../name_table.inc

Sources: @faker-js/faker 9.9 (MIT; names, cities, countries, streets of all its locales) and the
word list of Debian's wamerican (SCOWL, free to use and copy). No list is built from the
reference data.

A slot holds 24 bits of a word's hash and 8 flags; see ../tagger.h. The hash is FNV-1a with a final
mix, over the lower-case bytes.
"""
import json
import sys

FIRST, LAST, CITY, COUNTRY, COMMON, FIRM, STREET, TITLE = (1 << i for i in range(8))
SLOT_BITS = 18


def hash64(word):
    value = 14695981039346656037
    for byte in word.encode():
        value = ((value ^ byte) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    value ^= value >> 32
    value = (value * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 29)


def lower(word):
    """As the tagger folds: ASCII and the two-byte letters of Latin-1."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" or "\u00c0" <= c <= "\u00de" and c != "\u00d7"
                   else c for c in word)


def words(entry):
    for word in entry.replace("-", " ").replace("'", " ").replace(".", " ").split():
        yield lower(word)


def main():
    lists = json.load(open(sys.argv[1], encoding="utf-8"))
    flags = {}

    def add(entry, flag, minimum=2):
        for word in words(entry):
            if len(word) >= minimum and not any(c.isdigit() for c in word):
                flags[word] = flags.get(word, 0) | flag

    for entry in lists["first"]:
        add(entry, FIRST)
    for entry in lists["last"]:
        add(entry, LAST)
    for entry in lists["city"]:
        add(entry, CITY, 3)
    for key in ("country", "state"):
        for entry in lists[key]:
            add(entry, COUNTRY, 3)
    for entry in lists["street_suffix"]:
        add(entry, STREET, 2)
    for entry in lists["company_suffix"]:
        add(entry, FIRM, 2)
    for entry in ("inc llc ltd limited corp corporation company co gmbh ag kg ohg plc sa sarl bv nv ab "
                  "oy as spa srl group holding holdings partners associates ventures capital bank "
                  "insurance university college institute hospital clinic foundation association "
                  "agency ministry department systems technologies technology solutions software "
                  "labs industries international motors airlines energy pharma media press "
                  "orchestra club museum school academy society council committee").split():
        add(entry, FIRM)
    for entry in ("street st road rd avenue ave lane ln drive dr court ct boulevard blvd way square "
                  "terrace place suite apt apartment unit box po psc apo fpo dpo floor strasse straße "
                  "weg platz allee gasse rue via calle rua plaza utca ulica straat laan gata vej gate "
                  "katu tie avenida route chemin impasse quai piazza viale corso postbox postboks "
                  "highway corner crescent close hill").split():
        add(entry, STREET)
    for entry in ("mr mrs ms miss mx dr prof professor sir madam lord lady herr frau hr fr señor señora "
                  "sr sra don doña monsieur madame mme mlle signor signora sig dott ing rev fr "
                  "father sister captain judge senator president king queen prince princess "
                  "uncle aunt").split():
        add(entry, TITLE)
    for line in open(sys.argv[2], encoding="utf-8"):
        word = line.strip()
        if word and word[0].islower() and "'" not in word:
            flags[word] = flags.get(word, 0) | COMMON
    table = [0] * (1 << SLOT_BITS)
    for word in sorted(flags):
        value = hash64(word)
        slot = value & (len(table) - 1)
        while table[slot]:
            slot = (slot + 1) & (len(table) - 1)
        table[slot] = (value >> 40) << 8 | flags[word]
    print("/* SPDX-License-Identifier: Apache-2.0")
    print(" *")
    print(" * Made by train/make_table.py, which names the sources and their licences. %d words. */"
          % len(flags))
    line = ""
    for value in table:
        item = "%d," % value
        if len(line) + len(item) > 100:
            print(line)
            line = ""
        line += item
    print(line)


main()

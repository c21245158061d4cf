# SPDX-License-Identifier: Apache-2.0
# Personal data: see pii/README.md for the reading order.
set(ROUTER_PII_SOURCES
  pii/aho.c pii/chars.c pii/checks.c pii/command.c pii/context.c pii/custom.c pii/detector.c pii/disguise.c
  pii/id_checks.c pii/ids.c pii/kinds.c pii/ledger.c pii/names.c pii/net.c pii/number.c pii/phone.c
  pii/repeats.c pii/resolve.c pii/restore.c pii/scan.c pii/scrub.c pii/secret_words.c pii/secrets.c
  pii/tagger.c pii/vault.c pii/view.c pii/walk.c pii/weak_words.c pii/words.c)

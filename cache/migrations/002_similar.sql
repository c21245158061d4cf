-- SPDX-License-Identifier: Apache-2.0
-- The index of similar prompts. `probe` finds candidates by keyed hashes of whole texts; `similar`
-- holds the sealed keyed hashes of the words that the verifier compares, and the signatures again,
-- so that a removed entry's probes are found without a scan.
CREATE TABLE similar (
  id INTEGER PRIMARY KEY,
  key_id INTEGER NOT NULL,
  signatures BLOB NOT NULL,
  sealed BLOB NOT NULL
);
CREATE TABLE probe (
  signature INTEGER NOT NULL,
  id INTEGER NOT NULL,
  PRIMARY KEY (signature, id)
) WITHOUT ROWID;

-- SPDX-License-Identifier: Apache-2.0
-- Entries. What is compared or sorted by lies in `entry`; the sealed answers lie apart in `box`, so
-- that counting a hit or walking the entries does not touch them. *_tag and made_from_* are keyed
-- hashes, so the file names neither apps nor models.
CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,
  kind INTEGER NOT NULL,
  created_s INTEGER NOT NULL,
  expires_s INTEGER NOT NULL,
  rank INTEGER NOT NULL,
  hits INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  key_id INTEGER NOT NULL,
  app_tag BLOB NOT NULL,
  model_tag BLOB NOT NULL,
  made_from_model BLOB NOT NULL,
  made_from_template BLOB NOT NULL,
  made_from_policy BLOB NOT NULL
);
CREATE INDEX entry_rank ON entry (rank);
CREATE INDEX entry_expires ON entry (expires_s);
CREATE TABLE box (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL);

-- SPDX-License-Identifier: Apache-2.0
-- The sealed words have a second format, and texts are filed under other signatures: what was filed
-- before would never be found. The answers stay, and are found by their exact key.
DELETE FROM probe;
DELETE FROM similar;

// SPDX-License-Identifier: Apache-2.0
// dump_lists.mjs FOLDER OUT.json: the lists of @faker-js/faker (MIT) over all its locales.
import fs from "fs";
import path from "path";
const { allLocales } = await import(path.resolve(process.argv[2], "dist/index.js"));
const out = {};
const add = (key, value, locale) => {
  if (Array.isArray(value)) {
    for (const entry of value) if (typeof entry === "string") ((out[key] ??= {})[entry] ??= []).push(locale);
  } else if (value && typeof value === "object") {
    for (const part of Object.values(value)) add(key, part, locale);
  }
};
for (const [locale, data] of Object.entries(allLocales)) {
  const { person = {}, location = {}, company = {} } = data;
  add("first", person.first_name, locale);
  add("last", person.last_name, locale);
  add("city", location.city_name, locale);
  add("country", location.country, locale);
  add("state", location.state, locale);
  add("company_suffix", company.legal_entity_type || company.suffix, locale);
  add("street", location.street_name, locale);
  add("street_suffix", location.street_suffix, locale);
}
fs.writeFileSync(process.argv[3], JSON.stringify(out));

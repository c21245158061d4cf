#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A short command answered by the local model, from HTTP in to HTTP out: the gateway on one core, one
# connection, cache off, another text in every request. Shows the latency, and the processor time of
# the gateway for a request, which a busy machine does not change.
#   free          the model may answer what it likes
#   150 labels    response_format holds the answer to the 150 labels of CLINC150's kind of schema
#   stream        as server-sent events
# Needs wrk, curl, python3 and a release build:
#   cmake --preset release && cmake --build build/release --target sluice
#   tests/bench/gateway/default_model.sh [seconds per row, default 5]
# SLUICE_BUILD and SLUICE_MODEL name another build and model; the goal is p50 <= 5 ms for 12 tokens.
set -euo pipefail
cd "$(dirname "$0")/../../.."
seconds=${1:-5}
bin=${SLUICE_BUILD:-build/release}
model=${SLUICE_MODEL:-engine/default/sluice-default.gguf}
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT

cat >"$dir/policy.json" <<'JSON'
{ "providers": { "cloud": { "kind": "openai", "base_url": "https://127.0.0.1:1/v1", "key_env": "SLUICE_CLOUD_KEY", "model": "none" } },
  "defaults": { "mode": "local-only", "cache": { "enabled": false } }, "routes": [ { "name": "default" } ] }
JSON

# 2,000 texts that differ early, so that the prefix cache of the engine has little to give.
python3 - "$dir" <<'PY'
import itertools, json, sys
what = ["set an alarm", "put a reminder", "wake me up", "book a table", "add an event", "start a timer",
        "schedule a meeting", "order a taxi", "block my calendar", "plan a call"]
who = ["for me", "for us", "for my wife", "with tom", "for the team", "for dad", "with anna", "for two"]
when = ["at seven", "at noon", "at half past nine", "at six", "around eight"]
day = ["tomorrow morning", "next friday", "on monday", "this evening", "in two days"]
schema = {"type": "json_schema", "json_schema": {"name": "intent", "schema": {
    "type": "object", "properties": {"intent": {"enum": [f"label_{i}" for i in range(147)] +
    ["alarm", "reminder", "meeting_schedule"]}, "slots": {"type": "object", "additionalProperties": {"type": "string"}}},
    "required": ["intent", "slots"], "additionalProperties": False}}}
rows = [" ".join(words) for words in itertools.product(what, who, when, day)]
rows = rows[::37] + [row for i, row in enumerate(rows) if i % 37]
for name, more in ("free", {}), ("labels", {"response_format": schema}), ("stream", {"stream": True}):
    with open(f"{sys.argv[1]}/{name}.lua", "w", encoding="utf-8") as out:
        out.write("local bodies = {\n")
        for row in rows:
            body = {"model": "auto", "messages": [{"role": "user", "content": row}], **more}
            out.write("  [==[" + json.dumps(body) + "]==],\n")
        out.write('}\nlocal at = 0\nwrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
                  "request = function()\n  at = at % #bodies + 1\n"
                  "  return wrk.format(nil, nil, nil, bodies[at])\nend\n")
    with open(f"{sys.argv[1]}/{name}.json", "w", encoding="utf-8") as out:
        json.dump({"model": "auto", "messages": [{"role": "user", "content": rows[0]}], **more}, out)
PY

SLUICE_CLOUD_KEY=none SLUICE_NO_CLOUD=1 taskset -c 0 "$bin/sluice" serve --listen 127.0.0.1:0 --data-dir "$dir" \
  --policy "$dir/policy.json" --model "$model" --threads 1 --access-log off --no-cache >"$dir/sluice.log" 2>&1 &
pid=$!
until grep -q 'ready http' "$dir/sluice.log"; do kill -0 $pid || { cat "$dir/sluice.log" >&2; exit 1; }; sleep 0.01; done
url=$(grep -o 'http://[^ ]*' "$dir/sluice.log" | head -n 1)/v1/chat/completions

ticks() { awk '{ print $14 + $15 }' /proc/$pid/stat; }
client=()
[ "$(nproc)" -gt 1 ] && client=(taskset -c 1)
curl -s -H 'content-type: application/json' -d @"$dir/free.json" "$url" |
  python3 -c 'import json, sys; a = json.load(sys.stdin); u = a["usage"]
print("an answer:", a["choices"][0]["message"]["content"], "(prompt", u["prompt_tokens"], "tokens, answer", u["completion_tokens"], "tokens)")'
printf '%-12s %9s %9s %9s %9s %14s\n' '' requests p50 p90 p99 'processor time'
for name in free labels stream free; do
  "${client[@]}" wrk -t1 -c1 -d1 -s "$dir/$name.lua" "$url" >/dev/null # warm
  before=$(ticks)
  out=$("${client[@]}" wrk -t1 -c1 -d"$seconds" --latency -s "$dir/$name.lua" "$url")
  spent=$(($(ticks) - before))
  count=$(awk '/requests in/ { print $1 }' <<<"$out")
  printf '%-12s %9s %9s %9s %9s %11s ms  %s\n' "$name" "$count" \
    "$(awk '$1 == "50%" { print $2 }' <<<"$out")" "$(awk '$1 == "90%" { print $2 }' <<<"$out")" \
    "$(awk '$1 == "99%" { print $2 }' <<<"$out")" \
    "$(awk -v t="$spent" -v n="$count" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.3f", 1000 * t / hz / n }')" \
    "$(grep -o 'Non-2xx.*' <<<"$out" || true)"
done

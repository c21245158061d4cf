#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Requests per second and latency of Sluice beside nginx, on this machine in one run:
#   a cache hit              beside nginx serving the same bytes from a file; plain, and one whose
#                            personal data was scrubbed and is restored
#   a proxied request        beside nginx proxying to the same upstream, and beside a direct call
#   memory                   idle, and under 16 streams
#   start                    from exec to ready
# Needs nginx, wrk, curl and a release build:
#   cmake --preset release && cmake --build build/release --target sluice sluice-mock-cloud
#   tests/bench/gateway/http.sh [seconds per measurement, default 5]
set -euo pipefail
cd "$(dirname "$0")/../../.."
seconds=${1:-5}
bin=${SLUICE_BUILD:-build/release}
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT

wait_for() { for _ in $(seq 200); do grep -qE "$2" "$1" 2>/dev/null && return 0; sleep 0.02; done; cat "$1" >&2; return 1; }

"$bin/sluice-mock-cloud" --listen 127.0.0.1:0 --ca-out "$dir/ca.pem" >"$dir/cloud.log" 2>&1 &
pids+=($!)
wait_for "$dir/cloud.log" '^listening'
cloud=$(sed -nE 's/^listening (.*:)?([0-9]+)$/\2/p' "$dir/cloud.log")

cat >"$dir/policy.json" <<JSON
{
  "providers": { "cloud": { "kind": "openai", "base_url": "https://127.0.0.1:$cloud/v1", "key_env": "SLUICE_CLOUD_KEY", "model": "mock-echo" } },
  "routes": [
    { "name": "uncached", "match": { "header": { "x-bench": "proxy" } }, "mode": "cloud-only", "cache": { "enabled": false } },
    { "name": "default", "mode": "cloud-only" }
  ]
}
JSON
began=$(date +%s%N)
SLUICE_CLOUD_KEY=bench "$bin/sluice" serve --listen 127.0.0.1:0 --data-dir "$dir" --policy "$dir/policy.json" \
  --cloud-ca-file "$dir/ca.pem" --model "${SLUICE_MODEL-}" --access-log off >"$dir/sluice.log" 2>&1 &
sluice=$!
pids+=($sluice)
until grep -q 'ready http' "$dir/sluice.log"; do kill -0 $sluice || { cat "$dir/sluice.log" >&2; exit 1; }; sleep 0.002; done
ready_ms=$((($(date +%s%N) - began) / 1000000))
url=$(grep -o 'http://[^ ]*' "$dir/sluice.log" | head -n 1)
rss() { awk '/^VmRSS|^RssAnon/ { printf "%s %.1f MB  ", $1, $2 / 1024 }' "/proc/$1/status"; }
idle=$(rss $sluice)

body='{"model":"auto","messages":[{"role":"user","content":"Write to anna@example.org about ships"}]}'
ask() { curl -s "$@" -H 'content-type: application/json' -d "$body" "$url/v1/chat/completions"; }
ask >"$dir/answer.json"
ask -D "$dir/head" -o /dev/null
grep -qi 'x-sluice-cache: hit' "$dir/head" || { cat "$dir/head" "$dir/sluice.log" >&2; exit 1; }
cat >"$dir/post.lua" <<LUA
wrk.method = "POST"
wrk.body = '$body'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer bench"
LUA
plain='{"model":"auto","messages":[{"role":"user","content":"tell me about ships and their sails"}]}'
curl -s -o /dev/null -H 'content-type: application/json' -d "$plain" "$url/v1/chat/completions"
sed "s#^wrk.body = .*#wrk.body = '$plain'#" "$dir/post.lua" >"$dir/plain.lua"
sed 's/^wrk.method.*/&\nwrk.headers["x-bench"] = "proxy"/' "$dir/post.lua" >"$dir/proxy.lua"

cat >"$dir/nginx.conf" <<NGINX
user root; worker_processes 2; daemon off; pid $dir/nginx.pid; error_log $dir/nginx.err;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000; client_body_temp_path $dir/b; proxy_temp_path $dir/p;
  fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s; open_file_cache max=10;
  upstream cloud { server 127.0.0.1:$cloud; keepalive 32; }
  server {
    listen 127.0.0.1:$((cloud + 1 < 65535 ? cloud + 1 : cloud - 1));
    location = /static { root $dir; try_files /answer.json =404; default_type application/json; }
    location / { proxy_pass https://cloud; proxy_http_version 1.1; proxy_set_header Connection "";
                 proxy_ssl_verify off; } # nginx checks no IP address in a certificate; Sluice does
  }
}
NGINX
nginx_url=http://127.0.0.1:$((cloud + 1 < 65535 ? cloud + 1 : cloud - 1))
nginx -c "$dir/nginx.conf" >"$dir/nginx.log" 2>&1 &
pids+=($!)
until curl -s -o /dev/null "$nginx_url/static"; do sleep 0.02; done

row() { # LABEL CONNECTIONS WRK-ARGUMENTS...
  local out
  out=$(wrk -t1 -c"$2" -d"$seconds" --latency "${@:3}")
  printf '%-34s %10s req/s   p50 %-9s p99 %-9s %s\n' "$1" \
    "$(awk '/Requests\/sec/ { printf "%.0f", $2 }' <<<"$out")" "$(awk '$1 == "50%" { print $2 }' <<<"$out")" \
    "$(awk '$1 == "99%" { print $2 }' <<<"$out")" "$(grep -o 'Non-2xx.*' <<<"$out" || true)"
}
for round in 1 2; do
  echo "round $round"
  row "nginx, static file" 10 "$nginx_url/static"
  row "Sluice, cache hit" 10 -s "$dir/plain.lua" "$url/v1/chat/completions"
  row "Sluice, hit with a value restored" 10 -s "$dir/post.lua" "$url/v1/chat/completions"
  for connections in 1 10; do
    row "upstream direct over TLS, c=$connections" $connections -s "$dir/post.lua" "https://127.0.0.1:$cloud/v1/chat/completions"
    row "nginx proxying, c=$connections" $connections -s "$dir/proxy.lua" "$nginx_url/v1/chat/completions"
    row "Sluice proxying, c=$connections" $connections -s "$dir/proxy.lua" "$url/v1/chat/completions"
  done
done

for _ in $(seq 16); do
  curl -sN -H 'content-type: application/json' -H 'x-bench: proxy' -o /dev/null "$url/v1/chat/completions" -d \
    '{"model":"cloud/mock-words-60+token-50ms","stream":true,"messages":[{"role":"user","content":"x"}]}' &
  pids+=($!)
done
sleep 1.5
echo "idle: $idle; under 16 streams: $(rss $sluice); start to ready: $ready_ms ms"

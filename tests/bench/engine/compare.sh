#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Sluice beside other engines on the same models, same threads, same machine, one run.
#
#   tests/bench/engine/compare.sh [-b BUILD] [-t "1 2"] [-r ROUNDS] [-m "MODEL-TYPE ..."] \
#       [-k KERNELS] [-x PREFIX] 'llama.cpp=/path/to/llama-bench' 'ik=/path/to/llama-bench -rtr 1'
#
# Each peer is NAME=PROGRAM and its options. The models (random weights of published shapes) are made
# once and kept in BUILD/bench-models. Engines take turns, model by model; a figure is the best of
# ROUNDS (2). Prompt 512 and generation 64 in tokens/s, and their ratio to each peer; then generation
# as a share of what memory allows (bytes of the file a token, measured bandwidth at as many threads)
# and prompt processing as a share of the int8 peak (two operations a weight a token, measured on one
# core, times the threads; attention is not counted as work). About 6 minutes on two quiet cores.
#
# -k: what Sluice runs with (SLUICE_KERNELS), to see what users of a CPU without AVX-512 see; give it
# peers that were built for the same (llama.cpp: -DGGML_NATIVE=OFF -DGGML_AVX2=ON ...). -x: a command
# that all engines are started by, such as "chrt -r 1 taskset -c 1" on a machine that is shared.
# shellcheck disable=SC2086 # options of PREFIX and of a peer are words
set -eu

build=build/release threads="1 2" rounds=2 kernels='' prefix=''
models="135m-Q8_0 135m-Q4_0 135m-Q4_K_M 360m-Q8_0 360m-Q4_0 360m-Q4_K_M 0.5b-Q8_0 0.5b-Q4_0 0.5b-Q4_K_M"
while getopts b:t:r:m:k:x: option; do
    case $option in
    b) build=$OPTARG ;;
    t) threads=$OPTARG ;;
    r) rounds=$OPTARG ;;
    m) models=$OPTARG ;;
    k) kernels=$OPTARG ;;
    x) prefix=$OPTARG ;;
    *) sed -n '3,20s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))

programs=$build/tests/bench/engine
folder=$build/bench-models
for program in bench_make_model bench_generate bench_kernels; do
    if [ ! -x "$programs/$program" ]; then
        echo "$0: $programs/$program is missing: cmake --build $build --target bench" >&2
        exit 1
    fi
done
mkdir -p "$folder"
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT

# Writes "MODEL THREADS ENGINE PROMPT GENERATION" lines.
run_sluice() { # MODEL THREADS
    SLUICE_KERNELS=$kernels $prefix "$programs/bench_generate" "$folder/$1.gguf" 512 64 1 "$2" |
        awk -v model="$1" '/threads: prompt/ { print model, $1, "sluice", $5, $9 }'
}

run_peer() { # MODEL THREADS NAME COMMAND
    $prefix $4 -m "$folder/$1.gguf" -p 512 -n 64 -t "$2" -r 1 -o csv 2>/dev/null |
        awk -v model="$1" -v threads="$2" -v name="$3" '
            /avg_ts/ { n = split($0, names, ","); for (i = 1; i <= n; i++) at[names[i]] = i; next }
            !("avg_ts" in at) { next } # what some print before the table
            { gsub(/^"|"$/, ""); split($0, cell, /","/) } # a cell may hold a comma
            cell[at["n_prompt"]] == 512 { prompt = cell[at["avg_ts"]] }
            cell[at["n_gen"]] == 64 { generation = cell[at["avg_ts"]] }
            END { print model, threads, name, prompt + 0, generation + 0 }'
}

for model in $models; do
    if [ ! -s "$folder/$model.gguf" ]; then
        "$programs/bench_make_model" "${model%%-*}" "${model#*-}" "$folder/$model.gguf"
    fi
    echo "bytes $model $(wc -c < "$folder/$model.gguf")" >> "$rows"
done
for count in $threads; do
    # No type has this name: only the machine is measured.
    $prefix "$programs/bench_kernels" "$count" none | head -n 1 |
        sed 's/.*, \([0-9]*\) threads; memory \([0-9.]*\) GB.* int8 \([0-9]*\) .*/machine \1 \2 \3/' \
        >> "$rows"
done
round=0
while [ "$round" -lt "$rounds" ]; do
    for count in $threads; do
        for model in $models; do
            run_sluice "$model" "$count" >> "$rows"
            for peer in "$@"; do
                run_peer "$model" "$count" "${peer%%=*}" "${peer#*=}" >> "$rows"
            done
        done
    done
    round=$((round + 1))
done

awk '
function best(kind, key, value) { if (value > figure[kind, key]) figure[kind, key] = value }
function ratio(ours, theirs) { return theirs > 0 ? sprintf("%.2f", ours / theirs) : "-" }
BEGIN { # weights outside the embedding, in millions
    weights["135m"] = 106.2; weights["360m"] = 314.6; weights["0.5b"] = 357.9
}
$1 == "bytes" { bytes[$2] = $3; next }
$1 == "machine" { memory[$2] = $3; peak = $4; next }
{
    key = $1 " " $2
    if (!(key in seen)) { seen[key] = 1; keys[++key_count] = key }
    if (!($3 in engines)) { engines[$3] = 1; names[++name_count] = $3 }
    best("prompt", key " " $3, $4 + 0)
    best("generation", key " " $3, $5 + 0)
}
END {
    for (count in memory)
        printf "%s threads: memory %.1f GB/s, int8 %.0f Gop/s a core\n", count, memory[count], peak
    printf "\n%-12s %2s", "model", "t"
    for (i = 1; i <= name_count; i++) printf " %16s", names[i] " pp/tg"
    for (i = 2; i <= name_count; i++) printf " %16s", "x " names[i]
    printf " %9s %9s\n", "of memory", "of int8"
    for (k = 1; k <= key_count; k++) {
        split(keys[k], part, " ")
        printf "%-12s %2s", part[1], part[2]
        for (i = 1; i <= name_count; i++)
            printf " %16s", sprintf("%.0f / %.0f", figure["prompt", keys[k] " " names[i]],
                                    figure["generation", keys[k] " " names[i]])
        prompt = figure["prompt", keys[k] " sluice"]
        generation = figure["generation", keys[k] " sluice"]
        for (i = 2; i <= name_count; i++)
            printf " %16s", ratio(prompt, figure["prompt", keys[k] " " names[i]]) " / " \
                            ratio(generation, figure["generation", keys[k] " " names[i]])
        split(part[1], shape, "-")
        printf " %8.0f%%", 100 * generation * bytes[part[1]] / (memory[part[2]] * 1e9)
        if (peak > 0)
            printf " %8.0f%%", 100 * prompt * 2 * weights[shape[1]] * 1e6 / (peak * 1e9 * part[2])
        printf "\n"
    }
}' "$rows"

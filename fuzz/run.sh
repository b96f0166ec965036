#!/usr/bin/env bash
# Runs every fuzz target for SECONDS (default 60), two at a time; one line a target; fails when one crashed.
#
#   fuzz/run.sh SECONDS [TARGET...]
#
# Needs `cargo install cargo-fuzz` and a C++ compiler. What is found goes on in fuzz/corpus; a crash lies in
# fuzz/artifacts/TARGET, its log in fuzz/logs.
set -uo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | tail -n +2)

# The toolchain is a stable one; the flags for coverage are not. Nothing here is unsafe, so the address sanitizer would
# only cost half of the speed.
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
cargo fuzz build --sanitizer none >&2 || exit 1
triple=$(rustc -vV | sed -n 's/^host: //p')

run() {
    local target=$1 log=logs/$1.log status=0
    mkdir -p "corpus/$target" "artifacts/$target" logs
    "$CARGO_TARGET_DIR/$triple/release/$target" "corpus/$target" "seeds/$target" -max_total_time="$seconds" \
        -artifact_prefix="artifacts/$target/" -max_len=16384 -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 \
        -verbosity=1 >"$log" 2>&1 || status=$?
    local runs cov
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    cov=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d' ' -f2)
    if [ "$status" = 0 ]; then
        printf '%-12s %10s runs  %6s covered  no crash\n' "$target" "${runs:-?}" "${cov:-?}"
    else
        printf '%-12s %10s runs  %6s covered  CRASH, see fuzz/%s\n' "$target" "${runs:-?}" "${cov:-?}" "$log"
    fi
    return "$status"
}
export -f run
export seconds triple
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'run {}' || exit 1

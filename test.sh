#!/usr/bin/env bash
# Runs everything: formatting, lints, unit and property tests, stories (in memory, against the binary, with kills), the
# tests on real servers, the demo. As root on Debian it installs and starts what is missing; without root it says what
# it leaves out. Loopback only; what it starts it stops.
#
#   ./test.sh                  everything, in CI size
#   ./test.sh --races N        only the race harness of what touches files: N swaps against every verb
#   ./test.sh --kills N        only the kill harness: N times kill -9 at a random moment
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }
case "${1:-}" in
  '') ;;
  --races) HK_RACES=$2 exec cargo test --locked --release -p act --test races -- --nocapture ;;
  --kills) HK_KILLS=$2 exec cargo test --locked --release -p act --test kills -- --nocapture ;;
  *) echo "test.sh: unknown option $1; see its first lines" >&2; exit 2 ;;
esac
bed=''
log=$(mktemp)
end() {
  if [ -n "$bed" ]; then bed_sh purge >/dev/null 2>&1 || true; rm -rf "$bed"; fi
  rm -f "$log"
}
trap end EXIT
# A second bed beside the one of the end-to-end test: other tenants, other ports.
bed_sh() { HK_TENANTS='in1 in2' HK_UID0=20121 HK_PORT_BASE=17200 bash tests/bed/up.sh "$1" "$bed/bed"; }

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say 'real servers: install what is missing, start a test bed'
  bash tests/bed/up.sh install
  bed=$(mktemp -d); chmod 755 "$bed"
  # The daemons must not keep our standard output: whoever waits for its end would wait for them.
  if ! bed_sh up >"$bed/up.log" 2>&1 </dev/null; then cat "$bed/up.log"; exit 1; fi
  export HK_BED="$bed/bed" HK_BED_UIDS='20121 20122'
  if [ "${CI:-}" = true ]; then export HIKESHI_BED=required; fi
else
  say 'without root on Debian the tests on real servers are left out; each says SKIPPED'
fi

say 'formatting'
cargo fmt --all --check
say 'lints'
cargo clippy --locked --workspace --all-targets -- -D warnings
say 'build'
cargo build --locked --workspace --all-targets
say 'tests'
status=0
cargo test --locked --workspace --no-fail-fast -- --nocapture >"$log" 2>&1 || status=$?
grep -E '^(test |running |SKIPPED|     Running|   Doc-tests|[0-9]+ requests of)' "$log" | grep -vE '^running 0 tests' || true
if [ "$status" != 0 ]; then
  say 'what failed, in full'
  cat "$log"
fi
say 'the demo'
demo=1; cargo run --quiet --locked --bin hikeshi -- demo >"$log.demo" 2>&1 && demo=0
tail -n 2 "$log.demo"; [ "$demo" = 0 ] || cat "$log.demo"; rm -f "$log.demo"

sum() { sed -nE "s/^test result: .* ([0-9]+) $1.*/\1/p" "$log" | awk '{ n += $1 } END { print n + 0 }'; }
passed=$(( $(sum passed) + (demo == 0) )); failed=$(( $(sum failed) + (demo != 0) ))
printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$status" = 0 ] && [ "$failed" = 0 ]

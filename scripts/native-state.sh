# Sourced by ../ztna and build-native.ts: what the addon is built from, as one line. This is the only
# place that says which files those are. Content and names count, times do not (a checkout changes those).

# native_state ROOT
native_state() (
  cd "$1/native"
  printf '%s ' "$(uname -sm)"
  find . \( -name target -o -name tests -o -name benches -o -name fuzz -o -name node_modules \) -prune -o -type f \
    \( -name '*.rs' -o -name '*.toml' -o -name Cargo.lock -o -name package.json \) -exec cksum {} + |
    LC_ALL=C sort | cksum
)

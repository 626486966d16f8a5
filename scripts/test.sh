#!/bin/sh
# `npm test`: also the first command on a clean clone, where only the system's Node exists. So set-up
# comes first, in sh; everything else is scripts/test.ts on the pinned Node.
cd "$(dirname "$0")/.." || exit 1
started=$(date +%s)
if ! ./ztna --setup; then
  echo "tier setup FAILED"
  echo "total: 0 passed, 1 failed, 0 skipped"
  exit 1
fi
ZTNA_SETUP_SECONDS=$(($(date +%s) - started))
export ZTNA_SETUP_SECONDS
exec node_modules/.bin/node --disable-warning=ExperimentalWarning scripts/test.ts "$@"

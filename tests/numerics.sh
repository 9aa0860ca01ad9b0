#!/bin/bash
# The numerical tests as other processors compute: OpenBLAS (numpy has one, scipy another) is told to take the code for
# another kind of processor, and another number of threads. Left out, and said, are kinds that this processor cannot run,
# and the one that it takes by itself, which all other tests run with; so is what computes with torch, which has a linear
# algebra of its own.
#
#   numerics.sh PYTHON [OPTIONS OF PYTEST]
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
shift
tests=(
  tests/optimisation/test_{determinism,objectives,surrogate,space,suggest}.py tests/schemas/limitations/test_region.py
  tests/science/test_covariance.py tests/science/lifetime/test_model.py
  tests/science/ageing/test_end_of_life.py tests/science/electrolyte/test_{formulation,impedance,conductivity}.py
)
find_kind() { "$python" -c 'from threadpoolctl import threadpool_info; import scipy.linalg
print(*{lib["architecture"] for lib in threadpool_info() if lib["user_api"] == "blas"})'; }
mine=$(find_kind)
flags=" $(grep -m1 '^flags' /proc/cpuinfo 2>/dev/null || true) "
say() { printf 'numerics.sh: %s\n' "$*"; }
# ends with 1 where OpenBLAS does not take the code it is told to
check_kind() {
  "$python" - "$1" <<'PYTHON'
import sys
import numpy.linalg, scipy.linalg
from threadpoolctl import threadpool_info
found = sorted((lib.get("architecture"), lib["num_threads"]) for lib in threadpool_info() if lib["user_api"] == "blas")
print("numerics.sh: " + " and ".join(f"the code for {kind} with up to {threads} threads" for kind, threads in found))
sys.exit({kind for kind, _ in found} != {sys.argv[1]})
PYTHON
}
# kind, threads, what it needs; Zen and later kinds of AMD take the code of Haswell or SkylakeX
failed=0
while read -r kind threads needs; do
  for flag in $needs; do
    [[ $flags == *" $flag "* ]] || { say "$kind is left out: this processor has no $flag"; continue 2; }
  done
  [[ $kind != "$mine" ]] || { say "$kind is left out: it is what this processor takes by itself"; continue; }
  export OPENBLAS_CORETYPE=$kind OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
  check_kind "$kind" || { say "$kind is left out: the linear algebra here does not know it"; continue; }
  # those that start a process for each kind need not do so under each kind, and torch's need not run again
  "$python" -m pytest -q -k "not another_processor and not lstm" "${tests[@]}" "$@" </dev/null || failed=1
done <<'KINDS'
Nehalem 1 sse4_2
Haswell 2 avx2 fma
SkylakeX 4 avx512f avx512bw avx512cd avx512dq avx512vl
KINDS
exit $failed

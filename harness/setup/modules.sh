#!/bin/sh
# Prints a folder for PYTHONPATH with what a file of pinned requirements lists: kept once per user in the cache folder, fetched with
# pip if it is not there yet.
#
#     PYTHONPATH=$(harness/setup/modules.sh tests/peers/requirements.txt) python3 tests/peers/likelihood.py --smallest
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
requirements=${1:?usage: modules.sh FILE}

fail() {
    echo "setup: $1" >&2
    exit 1
}

. "$here/fetch.sh"

is_whole() {
    [ -e "$1" ]
}

# PyPI's torch is linked with 3 GB of CUDA libraries, which `import torch` wants even on a machine without a GPU. One library with the
# names that torch's own ask for does as well there: none of them is called.
stub() {
    wanted='\b(cublas|cudnn|cufft|cusparse|cusolver|curand|cuFile|nccl|nvshmem)[A-Za-z0-9_]*(@.*)?'
    nm -D --undefined-only "$1"/libtorch_python.so "$1"/libtorch_nvshmem.so "$1"/lib*cuda*.so | grep -oE "$wanted" |
        sort -u >"$1/stub.names"
    sed 's/@.*//; s/.*/int &(void) { return 1; }/' "$1/stub.names" >"$1/stub.c"
    awk -F@ 'NF > 1 { names[$NF] = names[$NF] $1 "; " } END { for (v in names) print v " { " names[v] "};" }' "$1/stub.names" \
        >"$1/stub.versions"
    cc -w -shared -fPIC -fno-builtin -Wl,--version-script="$1/stub.versions" -o "$1/libcuda_stub.so" "$1/stub.c" ||
        fail "the C compiler could not make a stub of the CUDA libraries (see above)"
    for library in libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcufft.so.12 libcufile.so.0 libcurand.so.10 libcusolver.so.12 \
        libcusparse.so.12 libcusparseLt.so.0 libnccl.so.2 libnvshmem_host.so.3; do
        ln -s libcuda_stub.so "$1/$library"
    done
}

fetch() {
    echo "setup: fetching what $requirements lists into $home (once per user)" >&2
    modules "$1" "$requirements"
    if [ -d "$1/torch/lib" ]; then
        stub "$1/torch/lib"
    fi
}

# Another list, another Python or another stub is another folder.
name=modules-$(cat "$requirements" "$0" | { cat && python3 -c 'import sys; print(sys.version_info[:2])'; } | cksum | tr ' ' -)
keep "$name" is_whole fetch
echo "$home/$name"

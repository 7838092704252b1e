#!/bin/sh
# Prints a folder as CUDA_HOME wants it, with what builds candle's CUDA kernels on a machine that has neither a GPU nor a CUDA
# toolkit. It is kept once per user in the cache folder, fetched with pip if it is not there yet.
set -eu

version=13.0
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail() {
    echo "setup: $1" >&2
    exit 1
}

. "$here/fetch.sh"

whole() {
    [ -e "$1/lib64/libcuda.so" ]
}

# The driver's library is in no package: one with the names that its header declares is enough to link. Each answers as CUDA's own
# stub does (CUDA_ERROR_STUB_LIBRARY), so a program that is run with it says what it met.
stub() {
    grep -oE '\bcu[A-Z][A-Za-z0-9_]*' "$1/include/cuda.h" | sort -u |
        sed 's/.*/int &(void) { return 34; }/' >"$1/stub.c"
    cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$1/lib64/libcuda.so.1" "$1/stub.c" ||
        fail "the C compiler could not make a stub of libcuda.so.1 (see above)"
}

fetch() {
    echo "setup: fetching the CUDA $version compiler into $home (1.2 GB, once per user)" >&2
    packages "$1" nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-cccl==13.0.85 \
        nvidia-cuda-runtime==13.0.96 nvidia-cublas==13.1.0.3 nvidia-curand==10.4.0.35 nvidia-cuda-nvrtc==13.0.88
    for folder in bin include nvvm; do
        ln -s nvidia/cu13/$folder "$1/$folder"
    done
    mkdir "$1/lib64"
    ln -s lib64 "$1/lib"
    for library in "$1"/nvidia/cu13/lib/lib*; do
        name=$(basename "$library")
        ln -s "../nvidia/cu13/lib/$name" "$1/lib64/$name"
        # The linker asks for the name without a version.
        case $name in
            *.alt.so.* | *.a) ;;
            *) ln -s "$name" "$1/lib64/${name%%.so.*}.so" ;;
        esac
    done
    stub "$1"
    ln -s libcuda.so.1 "$1/lib64/libcuda.so"
}

keep cuda-$version whole fetch
echo "$home/cuda-$version"

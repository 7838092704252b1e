#!/usr/bin/env bash
# Builds both engines for CUDA on a machine that needs neither a GPU nor a CUDA toolkit, and packs what a GPU machine with a
# Python environment of torch 2.11 wants beside it, in pieces that are easily carried.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=target/gpu-bundle
name=prunebench-gpu
tree=$out/$name
cuda=$(harness/setup/cuda.sh)

# One H100 or H200; the driver compiles for another from the same code, if it is newer.
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
export CUDA_HOME=$cuda CUDA_PATH=$cuda CUDA_ROOT=$cuda PATH=$cuda/bin:$PATH LIBRARY_PATH=$cuda/lib64

# A folder of its own: the feature would rebuild the engines of the CPU build each time.
built=$(cargo build --target-dir target/cuda --package prunebench --package prunebench-tensor \
    --bin prunebench --test conformance --features prunebench/cuda --message-format json-render-diagnostics)

rm -rf "$out"
mkdir -p "$tree/bin" "$tree/harness" "$tree/tests/peers"
for program in prunebench conformance; do
    file=$(sed -n 's/.*"name":"'$program'".*"executable":"\([^"]*\)".*/\1/p' <<<"$built")
    strip -o "$tree/bin/$program" "$file"
done
cp -r harness/experiments harness/gpu "$tree/harness"
cp tests/peers/throughput.py "$tree/tests/peers"
ln -s harness/gpu/start "$tree/start"

tar -C "$out" --owner 0 --group 0 -c "$name" | xz -T0 | split -b 60MB -d - "$out/$name.tar.xz."
(cd "$out" && sha256sum "$name".tar.xz.* >SHA256SUMS)

echo
(cd "$out" && du -bh --apparent-size "$name"/bin/* "$name".tar.xz.*)
echo "carry $out/SHA256SUMS and $out/$name.tar.xz.* to the GPU machine, and there:"
echo "  sha256sum -c SHA256SUMS && cat $name.tar.xz.* | tar -xJ && $name/start doctor"

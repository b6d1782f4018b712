# E16, ROCm issue 3032: a file of the new release belongs to an old package of another name. The
# second try removes AMD's packages first.
R=/srv/amd/rocm/apt
mkdir -p /tmp/llvm/opt/rocm-llvm
echo 17 >/tmp/llvm/opt/rocm-llvm/libLLVM.so
package libllvm-old "6.4.1.60401-83~22.04" /tmp/llvm
built libllvm-old $R/6.4.1/pool
package libllvm17.0-amdgpu "7.2.3.70203-90~22.04" /tmp/llvm
built libllvm17.0-amdgpu $R/7.2.3/pool
rm $R/7.2.3/pool/rocm_*.deb
package rocm "$ROCM_7_2_3" /nonexistent "rocm-core (= $ROCM_7_2_3), libllvm17.0-amdgpu"
built rocm $R/7.2.3/pool
index_again $R/6.4.1
index_again $R/7.2.3
has 6.4.1 6.4.1 libllvm-old
reimage 0 ROCM=7.2.3 DRIVER=30.30.3
is "$ROCM_7_2_3" "$DRIVER_30_30_3"

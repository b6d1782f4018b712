# E4c: /opt/rocm is a folder, as since ROCm 7.11.
mkdir -p /opt/rocm/core-10.0/bin
ln -s core-10.0/bin /opt/rocm/bin
reimage 0 ROCM=7.2.3 DRIVER=30.30.3
[[ -x /opt/rocm-7.2.3/bin/rocminfo && -d /opt/rocm/core-10.0 ]]
driver_for_all

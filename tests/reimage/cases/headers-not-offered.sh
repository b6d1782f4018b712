# E15: the headers of the running kernel are in no repository any more, and are installed.
has 7.2.3 30.30.3
rm /etc/apt/sources.list.d/site.list
rm -rf /var/lib/apt/lists/*
rm /usr/src/amdgpu-6.16.13-2327507.22.04/build.sh
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"

# E3, E3b: a mirror that signs by itself, with another origin: down within a series, and across the
# firmware's epoch.
export REPOSITORY=file:/srv/mirror
has 7.2.3 30.30.3
reimage 0 ROCM=7.2.1 DRIVER=30.30.1 DOWNGRADE=yes
is "$ROCM_7_2_1" "1:6.16.13.30300100-2278356.22.04"
reimage 0 ROCM=6.4.1 DRIVER=6.4.1 DOWNGRADE=yes
is "$ROCM_6_4_1" "$DRIVER_6_4_1"
reimage 0 ROCM=7.2.3 DRIVER=30.30.3
is "$ROCM_7_2_3" "$DRIVER_30_30_3"

# E6: rocm-validation-suite is not in the closure of rocm, and moves along with a change of release.
has 7.2.3 30.30.3 rocm-validation-suite
reimage 0 ROCM=7.2.1 DRIVER=30.30.1 DOWNGRADE=yes
is "$ROCM_7_2_1" "1:6.16.13.30300100-2278356.22.04"
[[ -e /opt/rocm/bin/rvs ]]
[[ $(dpkg-query --show --showformat='${Version}' rocm-validation-suite) == "$ROCM_7_2_1" ]]

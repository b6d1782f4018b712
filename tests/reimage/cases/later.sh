# What passes by itself ends with status 75, and nothing was changed.
has 7.2.3 30.30.3
rm /opt/rocm-7.2.3/bin/rocminfo
remember
LIMIT=30 reimage 75
says "s are left, and a change needs 60"
reimage 75 REPOSITORY=http://127.0.0.1:9
says "AMD's repositories cannot be read"
perl -e 'use Fcntl; open F, ">>", "/var/lib/dpkg/lock-frontend"; my $l = pack("ssx4qqix4", F_WRLCK, 0, 0, 0, 0); fcntl F, F_SETLK, $l or die; sleep 60' &
sleep 1
reimage 75
says "lock"
kill %1
mv /srv/amd/rocm/apt/7.2.3/pool /srv/amd/rocm/apt/7.2.3/gone
reimage 75
says "the packages cannot be fetched"
mv /srv/amd/rocm/apt/7.2.3/gone /srv/amd/rocm/apt/7.2.3/pool
flock /var/lib/ossci/reimage/lock sleep 3 &
sleep 0.3
reimage 75
says "another run of this script"
unchanged
wait
reimage 0
is "$ROCM_7_2_3" "$DRIVER_30_30_3"

# E14: /etc/dkms/no-autoinstall keeps the package from building the driver: refused before a change.
has 7.2.3 30.30.3
touch /etc/dkms/no-autoinstall
remember
reimage 1
says "/etc/dkms/no-autoinstall"
unchanged

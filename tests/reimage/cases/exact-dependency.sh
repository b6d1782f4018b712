# E6b: a package of the site needs exactly the installed rocm-core: refused before a change.
has 7.2.3 30.30.3
package site-tool 1 /nonexistent "rocm-core (= $ROCM_7_2_3)"
built site-tool /tmp
dpkg --install /tmp/site-tool_1_all.deb >/dev/null
remember
reimage 1 ROCM=7.2.1 DRIVER=30.30.1 DOWNGRADE=yes
says "site-tool"
unchanged

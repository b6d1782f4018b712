# E1b: the same node, and no other release is named: it stays as it is, and the compiler's words are
# shown.
has 6.4.1 6.4.1
kernel_update
remember
reimage 1
says "driver 6.4.1 does not build for kernel $K2"
says "too many arguments to function"
unchanged

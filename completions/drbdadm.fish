# fish completion for drbdadm, see drbdadm.bash.
command -q drbdadm; and COMPLETE=fish drbdadm | source

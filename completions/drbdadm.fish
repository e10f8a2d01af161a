# fish completion for drbdadm, see drbdadm.bash.
command -q drbdadm; and DRBDADM_COMPLETE=fish drbdadm | source

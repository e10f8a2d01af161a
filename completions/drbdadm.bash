# bash completion for drbdadm: commands and options come from the program, resource names from
# its configuration at the time of asking.
command -v drbdadm >/dev/null && source <(DRBDADM_COMPLETE=bash drbdadm)

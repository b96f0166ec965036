# Trouble within the watch is a new incident that names the earlier one; after the watch it is not.
given  account momiji, sites momiji.example.jp
Mon 2 Mar 2026 06:00
  > signal momiji miner-arguments, pids 7
    incident H-1 opened: miner-arguments
    impose   H-1/1 freeze-process momiji
    notice   H-1 restricted
  > owner momiji done
    verify   H-1
  > verdict momiji clean
    verified H-1
    release  H-1 owner
    lift     H-1/1 freeze-process momiji (ended)
Mon 2 Mar 06:10
    closed   H-1 by verification
    notice   H-1 released
Wed 4 Mar 10:30
  > signal momiji miner-arguments, pids 8
    incident H-2 opened (relapse of H-1): miner-arguments
    impose   H-2/1 freeze-process momiji
    notice   H-2 relapse of H-1
  > operator release H-2 «cleaned by hand»
    lift     H-2/1 freeze-process momiji (ended)
    closed   H-2 unverified
    notice   H-2 released
Fri 1 May 10:00
    watch-ended H-1
    watch-ended H-2
Sat 2 May 10:00
  > signal momiji miner-arguments, pids 9
    incident H-3 opened: miner-arguments
    impose   H-3/1 freeze-process momiji
    notice   H-3 restricted

# A guard starts the program again: the new one is frozen too, then its site is closed.
given  account ayame, sites ayame.example.jp
Fri 6 Mar 2026 23:55
  > signal ayame miner-arguments, by ayame.example.jp, pids 9920 9921
    incident H-1 opened: miner-arguments
    impose   H-1/1 freeze-process ayame
    notice   H-1 restricted
Fri 6 Mar 23:56
  > signal ayame miner-arguments, by ayame.example.jp, pids 9930
    joined   H-1 miner-arguments
    impose   H-1/2 freeze-process ayame
    impose   H-1/3 close-site ayame.example.jp
    notice   H-1 added

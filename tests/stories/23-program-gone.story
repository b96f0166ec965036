# A program that ended before it could be frozen calls nobody; a refused act does.
given  account kaede, sites kaede.example.jp
given  world freeze-process gone
Tue 3 Mar 2026 01:00
  > signal kaede deleted-exe, pids 4
    incident H-1 opened: deleted-exe
    impose   H-1/1 freeze-process kaede
    notice   H-1 restricted
    failed   H-1/1 gone
    withdrawn H-1

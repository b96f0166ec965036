# A guard's no is final for the machine and goes to a person.
given  account kaede, sites kaede.example.jp
given  world freeze-process refused
Tue 3 Mar 2026 01:00
  > signal kaede deleted-exe, pids 4
    incident H-1 opened: deleted-exe
    impose   H-1/1 freeze-process kaede
    notice   H-1 restricted
    failed   H-1/1 guard
    withdrawn H-1
    propose  H-1/2 page-operator refused-by-guard
Tue 3 Mar 01:01

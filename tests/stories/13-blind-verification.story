# A check that could see nothing opens nothing: release fails closed, and a person is called.
given  account kaede, sites kaede.example.jp
Tue 3 Mar 2026 01:00
  > signal kaede faked-name, pids 4
    incident H-1 opened: faked-name
    impose   H-1/1 freeze-process kaede
    notice   H-1 restricted
  > owner kaede done
    verify   H-1
  > verdict kaede blind
    not-verified H-1
    propose  H-1/2 page-operator verification-not-possible

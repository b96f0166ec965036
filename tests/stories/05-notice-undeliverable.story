# A notice that does not arrive is an operator's matter at once; the restriction stands.
given  account kaede, sites kaede.example.jp
given  world notice bounces
Tue 3 Mar 2026 01:00
  > signal kaede mass-mail
    incident H-1 opened: mass-mail
    impose   H-1/1 hold-mail kaede
    notice   H-1 restricted
    undelivered H-1
    propose  H-1/2 page-operator notice-undeliverable
Tue 3 Mar 01:05

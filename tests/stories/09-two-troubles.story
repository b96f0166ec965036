# Two different troubles of one account are two incidents, each with its own end.
given  account hinata, sites hinata.example.jp
Sat 7 Mar 2026 03:00
  > signal hinata load-above-baseline, suspicious
    incident H-1 opened: load-above-baseline
  > signal hinata mass-mail
    incident H-2 opened: mass-mail
    impose   H-2/1 hold-mail hinata
    notice   H-2 restricted
  > operator release H-2 «script removed»
    lift     H-2/1 hold-mail hinata
    propose  H-2/2 page-operator held-mail-waits
    closed   H-2 unverified
    notice   H-2 released
Sun 8 Mar 03:01
    closed   H-1 unverified

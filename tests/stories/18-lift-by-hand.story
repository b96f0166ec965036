# A restriction lifted by hand is not imposed again by the next sweep.
given  account hinata, sites hinata.example.jp
Sat 21 Mar 2026 11:46
  > signal hinata mass-mail
    incident H-1 opened: mass-mail
    impose   H-1/1 hold-mail hinata
    notice   H-1 restricted
  > operator lift H-1/1 «newsletter, agreed by phone»
    lift     H-1/1 hold-mail hinata
    propose  H-1/2 page-operator held-mail-waits
    closed   H-1 unverified
    notice   H-1 released
Sat 21 Mar 12:00
  > signal hinata mass-mail
    ignored  hinata mass-mail
Sun 22 Mar 12:00
  > signal hinata mass-mail
    incident H-2 opened (relapse of H-1): mass-mail
    impose   H-2/1 hold-mail hinata
    notice   H-2 relapse of H-1

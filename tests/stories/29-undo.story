# An operator takes everything back as it was: the last restriction first, the programs go on.
given  account hinata, sites hinata.example.jp
Sat 21 Mar 2026 11:46
  > signal hinata mass-mail
    incident H-1 opened: mass-mail
    impose   H-1/1 hold-mail hinata
    notice   H-1 restricted
  > signal hinata faked-name, by hinata.example.jp, pids 4711
    joined   H-1 faked-name
    impose   H-1/2 freeze-process hinata
    impose   H-1/3 close-site hinata.example.jp
    notice   H-1 added
Sat 21 Mar 12:00
  > operator undo H-1 «migration by our own staff»
    lift     H-1/3 close-site hinata.example.jp
    lift     H-1/2 freeze-process hinata
    lift     H-1/1 hold-mail hinata
    propose  H-1/4 page-operator held-mail-waits
    closed   H-1 unverified
    notice   H-1 released
Sat 21 Mar 12:05
  > signal hinata faked-name, by hinata.example.jp, pids 4712
    ignored  hinata faked-name

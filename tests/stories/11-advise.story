# Advise waits for a person, then does just what it proposed.
given  account hinata, sites hinata.example.jp
given  mode advise
Sat 21 Mar 2026 11:46
  > signal hinata mass-mail
    incident H-1 opened: mass-mail
    propose  H-1/1 hold-mail hinata
Sat 21 Mar 11:50
  > operator confirm H-1
    impose   H-1/1 hold-mail hinata
    notice   H-1 restricted
  > operator confirm H-1

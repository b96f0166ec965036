# A closure that visitors do not see is taken back and reported, never believed.
given  account hinata, sites hinata.example.jp
given  world close-site unseen
Sat 21 Mar 2026 11:46
  > operator close-site hinata hinata.example.jp «phishing page»
    incident H-1 opened
    impose   H-1/1 close-site hinata.example.jp
    notice   H-1 restricted
    failed   H-1/1 no-effect
    withdrawn H-1
    propose  H-1/2 page-operator no-effect
    lift     H-1/1 close-site hinata.example.jp

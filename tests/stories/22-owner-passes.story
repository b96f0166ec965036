# The owner's own browser passes a closed site; a pass for nothing is none.
given  account hinata, sites hinata.example.jp
Sat 21 Mar 2026 11:46
  > owner hinata pass
  > operator close-site hinata hinata.example.jp «phishing page»
    incident H-1 opened
    impose   H-1/1 close-site hinata.example.jp
    notice   H-1 restricted
  > owner hinata pass
    pass     H-1
  > owner hinata cannot
    propose  H-1/2 page-operator owner-cannot
